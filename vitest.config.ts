import { configDefaults, defineConfig } from 'vitest/config'

// Tests run the sources of every package: no build comes first.
const conditions = ['@comity/source', 'node']
const exclude = [...configDefaults.exclude, '**/dist/**', 'test/output/**']

// Files of these run in a process that has loaded the library already; loading it takes a second of processor time, more than most of them.
const sharing = ['packages/comity/test/**/*.test.ts', 'packages/contract/test/**/*.test.ts']
// These leave something in their process that others would find.
const changing = ['packages/comity/test/telemetry/trace.test.ts']

export default defineConfig({
  resolve: { conditions },
  ssr: { resolve: { conditions } },
  environments: { __vitest__: { resolve: { conditions } } }, // where the global setup is loaded
  test: {
    globalSetup: ['test/support/global-setup.ts'],
    pool: 'forks',
    // Of two processors: most tests wait, for leases, databases and killed processes.
    maxWorkers: 3,
    // Not what a test takes, but when it has certainly failed, on a slow machine that does other things besides.
    testTimeout: 120_000,
    hookTimeout: 120_000,
    expect: { poll: { timeout: 60_000 } },
    projects: [
      { extends: true, test: { name: 'sharing', isolate: false, include: sharing, exclude: [...exclude, ...changing] } },
      {
        extends: true,
        test: {
          name: 'apart',
          include: ['packages/!(comity|contract)/test/**/*.test.ts', 'examples/*/test/**/*.test.ts', 'test/**/*.test.ts', ...changing],
          exclude,
        },
      },
    ],
  },
})
