/**
 * How the versions of keys find their way out of a client: through abstract-level's methods, which know nothing of them.
 *
 * Pure.
 */

/** What a key has: its value, and the version that the last write of it gave it. */
export interface VersionedEntry<V> {
  readonly value: V
  /** A positive integer. Of two versions of one key the later is higher; more than that, and how far apart they are, means nothing. */
  readonly version: number
}

/**
 * With this option a private method leaves the versions in the given list: of the keys read, 0 where there is no value, or of the operations
 * written. So `getEntry` and the others go through all that abstract-level does with keys, values, options and hooks.
 */
export const VERSIONS = Symbol('versions')

export interface Versioned { readonly [VERSIONS]?: number[] }

export const collecting = <Options extends object>(versions: number[], options?: Options): Options & Versioned =>
  ({ ...options, [VERSIONS]: versions } as Options & Versioned)
