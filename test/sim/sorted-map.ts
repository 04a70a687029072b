/**
 * An immutable sorted map from bytes to bytes: a change gives a new map and leaves the old one as it was, so that a snapshot
 * is a reference.
 *
 * A treap (Seidel and Aragon, "Randomized Search Trees", Algorithmica 16, 1996) whose priorities are hashes of the keys: equal
 * contents have equal shapes, whatever the order of changes.
 *
 * Pure.
 */

interface TreapNode {
  readonly key: Uint8Array
  readonly value: Uint8Array
  readonly priority: number
  readonly left: TreapNode | undefined
  readonly right: TreapNode | undefined
}

export const compareBytes = (a: Uint8Array, b: Uint8Array): number => Buffer.compare(a, b)

function priorityOf (key: Uint8Array): number {
  let hash = 0x811c9dc5
  for (let index = 0; index < key.length; index++) hash = Math.imul(hash ^ key[index]!, 0x01000193)
  // FNV alone leaves the high bits of similar keys similar, and priorities compare by those.
  hash = Math.imul(hash ^ (hash >>> 15), 0x735a2d97)
  return (hash ^ (hash >>> 13)) >>> 0
}

/** Whether `a` belongs above `b`. Keys are unique, so that there are no ties. */
const above = (a: TreapNode, b: TreapNode): boolean =>
  a.priority > b.priority || (a.priority === b.priority && compareBytes(a.key, b.key) < 0)

const withLeft = ({ key, value, priority, right }: TreapNode, left: TreapNode | undefined): TreapNode => ({ key, value, priority, left, right })
const withRight = ({ key, value, priority, left }: TreapNode, right: TreapNode | undefined): TreapNode => ({ key, value, priority, left, right })

function put (node: TreapNode | undefined, added: TreapNode): TreapNode {
  if (node === undefined) return added
  const order = compareBytes(added.key, node.key)
  if (order === 0) return { ...node, value: added.value }
  if (order < 0) {
    const left = put(node.left, added)
    return above(left, node) ? withRight(left, withLeft(node, left.right)) : withLeft(node, left)
  }
  const right = put(node.right, added)
  return above(right, node) ? withLeft(right, withRight(node, right.left)) : withRight(node, right)
}

function join (left: TreapNode | undefined, right: TreapNode | undefined): TreapNode | undefined {
  if (left === undefined) return right
  if (right === undefined) return left
  return above(left, right) ? withRight(left, join(left.right, right)) : withLeft(right, join(left, right.left))
}

function remove (node: TreapNode | undefined, key: Uint8Array): TreapNode | undefined {
  if (node === undefined) return undefined
  const order = compareBytes(key, node.key)
  if (order === 0) return join(node.left, node.right)
  if (order < 0) {
    const left = remove(node.left, key)
    return left === node.left ? node : withLeft(node, left)
  }
  const right = remove(node.right, key)
  return right === node.right ? node : withRight(node, right)
}

export type Entry = readonly [key: Uint8Array, value: Uint8Array]

export class SortedMap {
  static readonly empty = new SortedMap(undefined)
  readonly #root: TreapNode | undefined

  private constructor (root: TreapNode | undefined) {
    this.#root = root
  }

  get (key: Uint8Array): Uint8Array | undefined {
    let node = this.#root
    while (node !== undefined) {
      const order = compareBytes(key, node.key)
      if (order === 0) return node.value
      node = order < 0 ? node.left : node.right
    }
    return undefined
  }

  put (key: Uint8Array, value: Uint8Array): SortedMap {
    return new SortedMap(put(this.#root, { key, value, priority: priorityOf(key), left: undefined, right: undefined }))
  }

  delete (key: Uint8Array): SortedMap {
    const root = remove(this.#root, key)
    return root === this.#root ? this : new SortedMap(root)
  }

  /** Entries in ascending order of keys, or descending; from the one at `start`, or the next after it, on. */
  * entries (start: Uint8Array | undefined, descending: boolean): Generator<Entry, void, void> {
    const path: TreapNode[] = []
    const descend = (from: TreapNode | undefined): void => {
      for (let node = from; node !== undefined; node = descending ? node.right : node.left) path.push(node)
    }
    if (start === undefined) {
      descend(this.#root)
    } else {
      let node = this.#root
      while (node !== undefined) {
        const order = compareBytes(start, node.key)
        const ahead = descending ? order >= 0 : order <= 0
        if (ahead) path.push(node)
        if (order === 0) break
        node = order < 0 ? node.left : node.right
      }
    }
    for (let node = path.pop(); node !== undefined; node = path.pop()) {
      yield [node.key, node.value]
      descend(descending ? node.left : node.right)
    }
  }

  /** @throws {Error} when an element stands above one of higher priority, or keys are out of order. */
  invariants (): void {
    const check = (node: TreapNode | undefined): void => {
      if (node === undefined) return
      for (const child of [node.left, node.right]) if (child !== undefined && !above(node, child)) throw new Error('the heap order is broken')
      check(node.left)
      check(node.right)
    }
    check(this.#root)
    let last: Uint8Array | undefined
    for (const [key] of this.entries(undefined, false)) {
      if (last !== undefined && compareBytes(last, key) >= 0) throw new Error('the keys are out of order')
      last = key
    }
  }

  get size (): number {
    let size = 0
    for (const _ of this.entries(undefined, false)) size++
    return size
  }
}
