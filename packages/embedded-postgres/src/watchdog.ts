/**
 * A tiny shell process beside the server, which outlives us and then cleans up. It needs no signal handler in our process and covers
 * every way to end: return of main, exit, SIGINT, SIGTERM, kill -9.
 *
 *   waiting: reads lines from its standard input; each names the server's pid ("" = there is none to stop)
 *   end of file = our process has ended, however → stops the server (SIGINT: fast shutdown; after 10 s SIGQUIT; after 5 s more SIGKILL),
 *   removes the temporary directory, ends
 *
 * It asks for `postmaster.pid` as well as for the pid, because a zombie that no init process collects still answers `kill -0`.
 */
import { spawn } from 'node:child_process'
import type { Socket } from 'node:net'

const SCRIPT = `
trap '' HUP INT TERM
pid=
while read -r line; do pid=$line; done
alive() { [ -f "$1/postmaster.pid" ] && kill -0 "$pid" 2>/dev/null; }
if [ -n "$pid" ]; then
  kill -INT "$pid" 2>/dev/null
  tenths=0
  while alive "$1"; do
    sleep 0.1
    tenths=$((tenths + 1))
    [ $tenths -eq 100 ] && kill -QUIT "$pid"
    [ $tenths -eq 150 ] && kill -KILL "$pid" && break
  done
fi
if [ -n "$2" ]; then rm -rf "$2"; fi
`

export interface Watchdog {
  /** Names the server to stop when this process ends; `undefined`: it has ended. */
  watch(pid: number | undefined): void
  /** Nothing is left to do for it. */
  release(): void
}

/** `temporary`: the directory to remove in the end, if any. */
export function startWatchdog(data: string, temporary: string | undefined): Watchdog {
  const child = spawn('/bin/sh', ['-c', SCRIPT, 'comity-postgres-watchdog', data, temporary ?? ''], {
    cwd: '/',
    detached: true,
    stdio: ['pipe', 'ignore', 'ignore'],
  })
  child.unref()
  const pipe = child.stdin as Socket
  pipe.unref()
  pipe.on('error', () => {}) // it was killed: then nobody cleans up after a crash, but the server itself is unharmed
  return {
    watch: (pid) => void pipe.write(`${pid ?? ''}\n`),
    release: () => void child.kill('SIGKILL'),
  }
}
