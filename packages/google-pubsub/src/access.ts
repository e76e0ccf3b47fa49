export function accessText(..._given: unknown[]): string { return '' }
