/** A package.json with a script that runs the team, indented as it was; undefined where it has a script of that name already. */
export function withScript(manifest: string, name: string, folder: string): string | undefined {
  const parsed = JSON.parse(manifest) as { scripts?: Record<string, string> }
  if (parsed.scripts?.[name] !== undefined) return undefined
  const indent = /^([ \t]+)"/m.exec(manifest)?.[1] ?? '  '
  const scripts = { ...parsed.scripts, [name]: `comity run --config ${folder}` }
  return `${JSON.stringify({ ...parsed, scripts }, null, indent)}\n`
}
