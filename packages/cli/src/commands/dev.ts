import { existsSync } from 'node:fs'
import { mkdir } from 'node:fs/promises'
import { dirname, join, relative, resolve, sep } from 'node:path'
import { Command, InvalidArgumentError, Option } from 'commander'
import type { Logger } from 'pino'
import { type CommonOptions, declare, type ExitCode } from '../command.ts'
import { ConfigProcess } from '../dev/config-process.ts'
import { findConfigs } from '../dev/find-configs.ts'
import { type DevServer, launchServer, useServer } from '../dev/launch-server.ts'
import { watchSources } from '../dev/watch-sources.ts'
import { ConfigNotFound } from '../errors.ts'
import { createLog } from '../log.ts'
import { stopSignal } from '../stop-signal.ts'

interface DevOptions extends CommonOptions {
  readonly server?: string
  readonly port?: number
}

const HELP = `
Every comity.config.ts below the folder gets a process, every team a database on one embedded Postgres, which also carries the bus.
URLs in the configurations are not used. A configuration that opens its database by its own library finds the URL in
COMITY_DATABASE_URL. Everything is migrated and provisioned by itself; a change of a team's sources restarts it.
The data stays in <folder>/.comity; remove that folder to begin anew. With --server the databases are made on a Postgres of yours
(15 or later), and stay there.

Example:
  $ comity dev teams --port 54320
  $ psql postgres://postgres@127.0.0.1:54320/crm`

export function devCommand(finish: (code: ExitCode) => void): Command {
  const command = new Command('dev')
    .description('run all teams of a workspace on one embedded Postgres, and restart them when their sources change')
    .argument('[folder]', 'where to look for configurations', '.')
    .addOption(new Option('--port <number>', 'of the server (default: a free one)').argParser(port))
    .addOption(new Option('--server <url>', 'use this Postgres instead of an embedded one').conflicts('port'))
    .addHelpText('after', HELP)
  return declare(command, run, finish)
}

async function run(options: DevOptions, folder: string): Promise<ExitCode> {
  const root = resolve(folder)
  const configs = existsSync(root) ? await findConfigs(root) : []
  if (configs.length === 0) throw new ConfigNotFound({ where: `${folder} or below` })
  const log = createLog({ level: 'info', readable: true })
  const stopped = stopSignal()
  const server = options.server === undefined ? await embedded(root, options.port) : await useServer(options.server)
  log.info(server.title)
  const transport = await server.createDatabase(BUS)
  const processes = configs.map((config) => configProcess({ config, root, transport, server, log }))
  const watching = await watchSources(root, (paths) => {
    for (const one of affected(processes, paths)) {
      log.info(`${relative(root, paths[0] as string)} changed: restarting ${relative(root, one.config)}`)
      void one.restart()
    }
  })
  try {
    await Promise.all(processes.map((one) => one.restart()))
    log.info({ signal: await stopped }, 'stopping')
  } finally {
    watching.close()
    await Promise.all(processes.map((one) => one.stop()))
    await server.close()
  }
  return 0
}

async function embedded(root: string, port: number | undefined): Promise<DevServer> {
  await mkdir(join(root, '.comity'), { recursive: true })
  return launchServer({ directory: join(root, '.comity', 'postgres'), ...(port === undefined ? {} : { port }) })
}

/** No team can have this name. */
const BUS = 'comity_bus'

function configProcess(options: {
  readonly config: string
  readonly root: string
  readonly transport: string
  readonly server: DevServer
  readonly log: Logger
}): ConfigProcess {
  const { config, root, transport, server, log } = options
  return new ConfigProcess({
    config,
    transport,
    databaseUrl: (team) => server.createDatabase(team),
    onLoaded(teams) {
      for (const [team, url] of Object.entries(teams)) log.info({ team }, url)
    },
    onEnded: (reason) => log.error(`${relative(root, config)} ended (${reason}); it starts again when its sources change`),
  })
}

/** Those whose folder holds a changed file; all of them when it is in no team's folder, for it may be shared. */
function affected(processes: readonly ConfigProcess[], paths: readonly string[]): readonly ConfigProcess[] {
  const inside = (one: ConfigProcess, path: string): boolean => path.startsWith(dirname(one.config) + sep)
  const shared = paths.some((path) => !processes.some((one) => inside(one, path)))
  return shared ? processes : processes.filter((one) => paths.some((path) => inside(one, path)))
}

function port(text: string): number {
  const number = Number(text)
  if (!Number.isInteger(number) || number < 1 || number > 65_535) throw new InvalidArgumentError('Give a number from 1 to 65535.')
  return number
}
