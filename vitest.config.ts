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
    testTimeout: 60_000,
    hookTimeout: 60_000,
    // Two workers: the suites spawn processes of their own, and the machines it is meant for have two cores.
    maxWorkers: 2
  }
})
