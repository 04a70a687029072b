#!/usr/bin/env bash
# Packs the package, installs the tarball in an empty project, and imports every subpath the way a user does.
set -euo pipefail
root=$(cd "$(dirname "$0")/../.." && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$root"
npm run build --silent
tarball=$(npm pack --silent --pack-destination "$work")
cd "$work"
npm init -y > /dev/null
npm install --silent --no-audit --no-fund "./$tarball"
cat > import.mjs <<'END'
import { connect, startNode, StoreError } from 'coterie'
import { Membership } from 'coterie/membership'
import { foldPlacement, partitionOf } from 'coterie/ring'
import * as store from 'coterie/store'
const missing = Object.entries({ connect, startNode, StoreError, Membership, foldPlacement, partitionOf, fromStore: store.connect }).filter(([, value]) => value === undefined)
if (missing.length > 0) throw new Error(`not exported: ${missing.map(([name]) => name).join(', ')}`)
const node = await startNode({ directory: './data', found: true, expect: 1, replicas: 1, partitions: 8 })
const db = await connect([node.address])
await db.put('hello', 'world')
if (await db.get('hello') !== 'world') throw new Error('the value did not come back')
await db.close()
await node.close()
END
node import.mjs
npx coterie --help > /dev/null
echo "the packed package installs, imports and runs"
