/** `agencyId` → `agency_id`, `HTTPServer` → `http_server`, `line2` → `line2`. */
export function snakeCase(name: string): string {
  return name
    .replaceAll(/([a-z\d])([A-Z])/g, '$1_$2')
    .replaceAll(/([A-Z])([A-Z][a-z])/g, '$1_$2')
    .replaceAll(/[^A-Za-z\d_]+/g, '_')
    .toLowerCase()
}
