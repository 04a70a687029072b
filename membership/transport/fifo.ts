/** A first-in first-out queue whose head moves through an array. */
export class Fifo<T> {
  #items: T[] = []
  #head = 0

  peek (): T | undefined {
    return this.#items[this.#head]
  }

  push (item: T): void {
    this.#items.push(item)
  }

  shift (): T | undefined {
    const item = this.#items[this.#head]
    this.#head++
    if (this.#head >= this.#items.length) {
      this.#items.length = 0
      this.#head = 0
    } else if (this.#head >= 1024 && this.#head * 2 >= this.#items.length) {
      this.#items = this.#items.slice(this.#head)
      this.#head = 0
    }
    return item
  }
}
