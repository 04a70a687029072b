/** Runs an example by its name: `npm run example -- NAME`. Without a name, says which there are. */
const EXAMPLES: Readonly<Record<string, () => Promise<unknown>>> = {
  'alternate-storage': () => import('./alternate-storage.ts'),
  'hundred-nodes': () => import('./hundred-nodes/main.ts'),
  'membership-only': () => import('./membership-only.ts'),
  'observe-rebalance': () => import('./observe-rebalance.ts'),
  'own-data-store': () => import('./own-data-store.ts')
}

const name = process.argv[2]
const example = name === undefined ? undefined : EXAMPLES[name]
if (example === undefined) {
  console.error(`${name === undefined ? 'Which example?' : `There is no example '${name}'.`} There are: ${Object.keys(EXAMPLES).join(', ')}`)
  process.exitCode = 2
} else {
  // The example finds its own options where it would be without this program.
  process.argv.splice(2, 1)
  await example()
}
