/**
 * The table of layers of docs/architecture.md, section "The parts, and who may know whom". Imports point up that table only, so that a reader of
 * one folder knows what it can not depend on. test/boundaries.test.ts shows for each rule that it bites.
 */

/** Folders of packages/comity/src, top of the table first; folders of one list are on one level and know nothing of each other. */
const LAYERS = [
  ['foundation', 'schema'],
  ['postgres', 'adapters'],
  ['transport'],
  ['outbox'],
  ['relay', 'subscription'],
  ['replica', 'control', 'catalog'],
  ['request', 'backfill', 'erasure'],
  ['audit'],
  ['admin'],
  ['team', 'http'],
  ['testing'],
]

/** On one level, yet one builds on the other. */
const SIBLINGS = { schema: ['foundation'], adapters: ['postgres'], team: ['http'] }

const src = (folders) => `^packages/comity/src/(${folders.join('|')})/`

/** The last row, testing, has nothing below it: who imports it is ruled further down. */
const layerRules = LAYERS.slice(0, -1).flatMap((level, index) =>
  level.map((folder) => {
    const others = level.filter((sibling) => sibling !== folder && !SIBLINGS[folder]?.includes(sibling))
    const below = LAYERS.slice(index + 1).flat()
    return {
      name: `layer-${folder}`,
      comment: `${folder} imports only what stands above it in the table: else two parts know each other, and neither can be read, tested or replaced alone`,
      severity: 'error',
      from: { path: src([folder]) },
      to: { path: src([...others, ...below]) },
    }
  }),
)

/** What is above in the table, and still none of their business. */
const storyRules = [
  {
    name: 'outbox-knows-no-transport',
    comment: 'a business transaction writes the outbox and nothing else: no broker on its path, at no time',
    from: { path: src(['outbox']) },
    to: { path: src(['transport']) },
  },
  {
    name: 'subscription-knows-no-outbox',
    comment: 'the consumer knows only the transport: what a handler publishes in its transaction is injected by the team',
    from: { path: src(['subscription']) },
    to: { path: src(['outbox', 'relay']) },
  },
  {
    name: 'relay-is-a-pipe',
    comment: 'the relay moves messages from outbox to transport; it knows no subscription, replica or adapter, and no broker by name',
    from: { path: src(['relay']) },
    to: { path: '^packages/comity/src/', pathNot: src(['relay', 'outbox', 'transport', 'postgres', 'schema', 'foundation']) },
  },
  {
    name: 'transport-touches-no-database',
    comment: 'the seam is about brokers; of all transports only the one that is built on Postgres may touch the database layer',
    from: { path: src(['transport']), pathNot: '^packages/comity/src/transport/postgres(/|\\.ts)' },
    to: { path: src(['postgres', 'adapters']) },
  },
  {
    name: 'adapters-are-structural',
    comment: 'an adapter describes the shape of an ORM, it does not import it: users install the one they have, in the version they have',
    from: { path: src(['adapters']) },
    to: { dependencyTypes: ['npm', 'npm-dev', 'npm-peer', 'npm-optional', 'npm-no-pkg', 'npm-unknown'] },
  },
  {
    name: 'nobody-imports-testing',
    comment: 'a barrel that pulls test code into production costs every user',
    from: { path: '^(packages|examples|bench)/', pathNot: '(^packages/comity/src/testing/|/test/)' },
    to: { path: '^packages/comity/src/testing/' },
  },
  {
    name: 'production-imports-no-tests',
    comment: 'what is published can not depend on what is not',
    from: { path: '^(packages|examples|bench)/[^/]*/?src/' },
    to: { path: '(^test/|/test/)' },
  },
]

const packageRules = [
  {
    name: 'contract-depends-on-nothing',
    comment: 'the contract is what every team shares, in every runtime: whatever it needs, all need',
    from: { path: '^packages/contract/src/' },
    to: { pathNot: '^packages/contract/src/' },
  },
  {
    name: 'embedded-postgres-depends-on-nothing',
    comment: 'a launcher of a process; only Node itself, and the binaries that it resolves by name',
    from: { path: '^packages/embedded-postgres/src/' },
    to: { pathNot: '^packages/embedded-postgres/src/', dependencyTypesNot: ['core'] },
  },
  {
    name: 'engine-knows-no-other-package',
    comment: 'the engine stands on the contract alone; transports, CLI and console stand on the engine',
    from: { path: '^packages/comity/src/' },
    to: { path: '^packages/(?!comity/|contract/)' },
  },
  {
    name: 'console-sees-admin-only',
    comment: 'a dashboard that reads the tables of the engine has to be changed with them: it gets read models, and no SQL',
    from: { path: '^packages/console/src/' },
    to: { path: '(^packages/|node_modules/pg/)', pathNot: '^packages/(console/|contract/|comity/src/admin/)' },
  },
  {
    name: 'cli-sees-the-public-engine',
    comment: 'the CLI is one of the engine’s users: what it needs is exported',
    from: { path: '^packages/cli/src/' },
    to: { path: '^packages/comity/src/', pathNot: '^packages/comity/src/(index\\.ts|[^/]+/index\\.ts|adapters/)' },
  },
  {
    name: 'transport-packages-see-the-seam',
    comment: 'a transport is written against the seam and the laws, nothing else of the engine',
    from: { path: '^packages/(google-pubsub|nats)/src/' },
    to: { path: '^packages/(?!contract/|comity/src/transport/|comity/src/index\\.ts|google-pubsub/|nats/)' },
  },
  {
    name: 'transport-packages-are-apart',
    comment: 'adding or removing a transport touches one package',
    from: { path: '^packages/(google-pubsub|nats)/src/' },
    to: { path: '^packages/(google-pubsub|nats)/', pathNot: '^packages/$1/' },
  },
  {
    name: 'integrations-see-the-public-engine',
    comment: 'a framework’s module only calls what every user can call: it works with any transport and library, and knows none',
    from: { path: '^packages/nestjs/src/' },
    to: { path: '^packages/(?!contract/|comity/src/index\\.ts|nestjs/)' },
  },
  {
    name: 'packages-by-name',
    comment: 'another package is imported by its name: a path into it goes round its exports',
    from: { path: '^(packages/[^/]+|examples/[^/]+|bench)/' },
    to: { path: '^packages/[^/]+/', pathNot: '^$1/', dependencyTypes: ['local'] },
  },
]

const everywhere = [
  {
    name: 'no-cycle',
    comment: 'files that need each other are one file; cycles also break on the order of evaluation',
    from: {},
    to: { circular: true },
  },
  {
    name: 'declared-dependency',
    comment: 'what is not in the package’s own package.json is there by luck of the installation',
    from: { path: '^(packages/[^/]+|bench|examples/[^/]+)/src/' },
    to: { dependencyTypes: ['npm-no-pkg', 'npm-unknown'] },
  },
  {
    name: 'no-dev-dependency-in-production',
    comment: 'users do not install our devDependencies; types are erased and may come from there',
    from: { path: '^packages/[^/]+/src/' },
    to: { dependencyTypes: ['npm-dev'], dependencyTypesNot: ['type-only', 'npm-peer', 'npm', 'npm-optional'] },
  },
  {
    name: 'resolvable',
    comment: 'an import that can not be resolved is a mistake, and hides from every other rule',
    from: { path: '^(packages/[^/]+|bench|examples/[^/]+)/src/' },
    to: { couldNotResolve: true },
  },
]

/** @type {import('dependency-cruiser').IConfiguration} */
module.exports = {
  forbidden: [...layerRules, ...[...storyRules, ...packageRules, ...everywhere].map((rule) => ({ severity: 'error', ...rule }))],
  options: {
    doNotFollow: { path: ['node_modules', '(^|/)dist/'] },
    exclude: { path: '(^|/)(dist|node_modules/\\.cache)/' },
    tsPreCompilationDeps: true, // imports of types point up the table, too
    combinedDependencies: false,
    enhancedResolveOptions: {
      exportsFields: ['exports'],
      conditionNames: ['@comity/source', 'types', 'import', 'node', 'default'],
      extensions: ['.ts', '.js', '.mjs', '.cjs', '.json'],
    },
    progress: { type: 'none' },
  },
}
