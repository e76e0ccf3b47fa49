/** Stands before Google's emulator at `target`, a port of this machine; with `may`, only what it allows goes through. */
export function emulatorProxy(
  target: number,
  may?: (method: string, resource: string) => boolean,
): Promise<{ readonly port: number; close(): void }>
