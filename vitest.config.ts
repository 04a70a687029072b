import { fileURLToPath } from 'node:url'
import { defineConfig } from 'vitest/config'

const path = (relative: string): string => fileURLToPath(new URL(relative, import.meta.url))

export default defineConfig({
  resolve: {
    alias: [
      { find: /^coterie\/membership$/, replacement: path('./membership/index.ts') },
      { find: /^coterie\/ring$/, replacement: path('./ring/index.ts') },
      { find: /^coterie(\/store)?$/, replacement: path('./store/index.ts') }
    ]
  },
  test: {
    include: ['test/**/*.test.ts'],
    // These end what hangs and prove nothing: no test is to meet them on a machine that is slow, or busy with other things as well. They are
    // longer than any wait inside of a test (PATIENCE_MS), which can say what it waited for.
    testTimeout: 300_000,
    hookTimeout: 300_000,
    expect: { poll: { timeout: 120_000 } },
    // Two workers: the suites spawn processes of their own, and the machines it is meant for have two cores.
    maxWorkers: 2
  }
})
