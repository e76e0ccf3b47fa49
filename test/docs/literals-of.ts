import ts from 'typescript'
import { sourceText } from './errors-page.ts'

/**
 * The strings that a type of our sources allows, as they are written there.
 * @param file below `packages/`
 * @param name of a type, or `Interface.member`
 */
export function literalsOf(file: string, name: string): readonly string[] {
  const source = ts.createSourceFile(file, sourceText(file), ts.ScriptTarget.Latest)
  const [typeName, member] = name.split('.')
  for (const statement of source.statements) {
    if (ts.isTypeAliasDeclaration(statement) && statement.name.text === typeName) return stringsIn(statement.type)
    if (!ts.isInterfaceDeclaration(statement) || statement.name.text !== typeName) continue
    for (const property of statement.members)
      if (ts.isPropertySignature(property) && (property.name as ts.Identifier).text === member && property.type)
        return stringsIn(property.type)
  }
  throw new Error(`${file} has no ${name}`)
}

function stringsIn(type: ts.TypeNode): readonly string[] {
  if (ts.isUnionTypeNode(type)) return type.types.flatMap(stringsIn)
  return ts.isLiteralTypeNode(type) && ts.isStringLiteral(type.literal) ? [type.literal.text] : []
}
