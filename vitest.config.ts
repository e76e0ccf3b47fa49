import { defineConfig } from 'vitest/config'

// Tests run the sources of every package: no build comes first.
const conditions = ['@comity/source', 'node']

export default defineConfig({
  resolve: { conditions },
  ssr: { resolve: { conditions } },
  environments: { __vitest__: { resolve: { conditions } } }, // where the global setup is loaded
  test: {
    include: ['packages/*/test/**/*.test.ts', 'examples/*/test/**/*.test.ts', 'test/**/*.test.ts'],
    exclude: ['**/node_modules/**', '**/dist/**', 'test/output/**'],
    globalSetup: ['test/support/global-setup.ts'],
    pool: 'forks',
    maxWorkers: 2,
    // Not what a test takes, but when it has certainly failed, on a slow machine that does other things besides.
    testTimeout: 60_000,
    hookTimeout: 60_000,
  },
})
