/**
 * The deliberate breakages of the core that the scenario, or a test that is named, must notice: which rule each breaks, and how, as a change
 * of the source text.
 *
 * Pure.
 */
export interface Mutant {
  readonly name: string
  /** The rule that it breaks, as store/README.md numbers them. */
  readonly rule: string
  readonly file: string
  /** Occurs exactly once in the file. */
  readonly find: string
  readonly replace: string
  /** The test that must notice it, where the scenario does not look at the rule. @default the scenario, seed by seed */
  readonly test?: string
}

const GROUP = 'store/group'

export const MUTANTS: readonly Mutant[] = [
  {
    name: 'an entry counts as committed once one store has it', rule: 'S2', file: `${GROUP}/followers.ts`,
    find: 'return held[majorityOf(group!.members.length) - 1]!', replace: 'return held[0]!'
  },
  {
    name: 'an acknowledgement does not wait for the disk', rule: 'S2', file: `${GROUP}/acceptor.ts`,
    find: 'replica.disk.log(writes, acknowledge)', replace: '{ replica.disk.log(writes, () => {}); acknowledge() }'
  },
  {
    name: 'the client is answered before the commit', rule: 'S2', file: `${GROUP}/writes.ts`,
    find: 'if (seq <= copy.commit) { this.#answer(', replace: 'if (seq > 0) { this.#answer('
  },
  {
    name: 'a snapshot becomes the live copy before it is whole', rule: 'S2', file: `${GROUP}/learner.ts`,
    find: 'if (!partial.scanned || partial.copy.commit < partial.reach) return', replace: ''
  },
  {
    name: 'appends of a deposed leader are accepted', rule: 'S4', file: `${GROUP}/acceptor.ts`,
    find: 'if (compareBallots(ballot, replica.promised) < 0) { this.#refuse(from); return }\n    replica.sawBallot(now, ballot)\n    const raised',
    replace: 'const raised'
  },
  {
    name: 'a member that returned is not spoken to before the next write', rule: 'S2', file: `${GROUP}/leader.ts`,
    find: 'if (this.phase !== \'sealing\' && this.phase !== \'deferring\') this.followers.viewChanged(now)', replace: ''
  },
  {
    name: 'a promise is sent before it is durable', rule: 'S4', file: `${GROUP}/acceptor.ts`,
    find: 'replica.disk.persist([], () => {\n      // Where an append', replace: 'replica.disk.persist([], () => {}); [() => {}].forEach(() => {\n      // Where an append'
  },
  {
    name: 'a restart forgets the promise, and starts ballots again', rule: 'S4', file: `${GROUP}/replica.ts`,
    find: 'this.promised = this.seen = state.promised', replace: ''
  },
  {
    name: 'a candidate leads with its own promise alone', rule: 'S3', file: `${GROUP}/doubt.ts`,
    find: 'all === members || (all >= majority && sure > members - majority)', replace: 'all >= 1'
  },
  {
    name: 'the longest history is adopted, whatever its ballot', rule: 'S3', file: `${GROUP}/history.ts`,
    find: 'compareBallots(a.ballot, b.ballot) || a.seq - b.seq', replace: 'a.seq - b.seq'
  },
  {
    name: 'the candidate adopts its own history', rule: 'S3', file: `${GROUP}/seals.ts`,
    find: 'if (order > 0) { best = member; most = answer }', replace: ''
  },
  {
    name: 'an append need not fit the position before it', rule: 'S3', file: `${GROUP}/acceptor.ts`,
    find: '(prev.seq <= copy.last && compareBallots(replica.ballotAt(prev.seq)!, prev.ballot) === 0)', replace: 'prev.seq <= copy.last'
  },
  {
    name: 'a conflicting entry is kept', rule: 'S3', file: `${GROUP}/acceptor.ts`,
    find: 'if (compareBallots(copy.entry(entry.seq)!.ballot, entry.ballot) === 0) continue', replace: 'continue'
  },
  {
    name: 'entries follow an adopted stop sign', rule: 'S3', file: `${GROUP}/leader.ts`,
    find: 'const stops = final?.kind === \'stop\' && final.next.generation > replica.group!.generation', replace: 'const stops = false'
  },
  {
    name: 'a stop sign does not wait for the next group', rule: 'S5', file: `${GROUP}/handover.ts`,
    find: 'const holders = present.filter(store => this.#hasSynced(store, copy.last))', replace: 'const holders = present'
  },
  {
    name: 'a learner reports what is not durable', rule: 'S5', file: `${GROUP}/learner.ts`,
    find: 'replica.disk.persist([], () => { replica.out.send(to, message) })', replace: 'replica.disk.persist([]); replica.out.send(to, message)'
  },
  {
    name: 'a store takes any history for the one that a generation begins from', rule: 'S5', file: `${GROUP}/generations.ts`,
    find: 'compareBallots(replica.ballotAt(stop) ?? NO_BALLOT, group.previous.ballot) === 0', replace: 'true'
  },
  {
    name: 'a copy is released while a member is not level', rule: 'S5', file: `${GROUP}/releases.ts`,
    find: '!handover.wants(holder) && handover.allLevel()', replace: '!handover.wants(holder)'
  },
  {
    name: 'an older value of the snapshot overwrites a newer one of the tail', rule: 'S6', file: `${GROUP}/learner.ts`,
    find: 'if ((partial.newest.get(key) ?? 0) >= item.seq) continue', replace: ''
  },
  {
    name: 'a removal in the tail is passed over', rule: 'S6', file: `${GROUP}/learner.ts`,
    find: 'value: operation.kind === \'put\' ? operation.value : null, seq: entry.seq,', replace: 'value: operation.kind === \'put\' ? operation.value : operation.key, seq: entry.seq,'
  },
  {
    name: 'a store goes on after a failed write', rule: 'S8', file: 'store/storage/store-writer.ts',
    find: '      this.#stopped = true\n      this.#components.failed(error)\n      return\n', replace: '\n'
  },
  {
    name: 'a delta keeps what is gone', rule: 'S6', file: `${GROUP}/delta.ts`,
    find: 'if (value === null) removed.push(key)', replace: 'if (value === null) continue'
  },
  {
    name: 'a delta has what was read, whatever the log has after it', rule: 'S6', file: `${GROUP}/delta.ts`, test: 'test/unit/store/delta.test.ts',
    find: 'for (const { seq, body } of later) {', replace: 'for (const { seq, body } of [] as Entry[]) {'
  },
  {
    name: 'batches are not synced', rule: 'S8', file: 'store/storage/store-writer.ts',
    find: 'await this.#write(operations, sync)', replace: 'await this.#write(operations, false)'
  },
  {
    name: 'a retried operation is logged again', rule: 'S9', file: `${GROUP}/writes.ts`,
    find: 'if (before !== undefined) { this.#await(before, ticket); return }', replace: ''
  },
  {
    name: 'operations are forgotten with their values, at restarts and handovers', rule: 'S9', file: `${GROUP}/operation-memory.ts`,
    find: 'const known = this.#seqs.get(client)\n    if (known === undefined)',
    replace: 'if (body.operations === null) return\n    const known = this.#seqs.get(client)\n    if (known === undefined)'
  },
  {
    name: 'a condition is compared with what is committed alone', rule: 'S10', file: `${GROUP}/conditions.ts`,
    find: 'if (uncommitted !== undefined) return uncommitted.version', replace: ''
  },
  {
    name: 'a condition is compared with what the disk returns, whatever was logged since', rule: 'S10', file: `${GROUP}/conditions.ts`, test: 'test/unit/store/conditions.test.ts',
    find: 'if (reading !== undefined) reading.version = version', replace: ''
  },
  {
    name: 'that a condition failed is answered and not logged', rule: 'S9', file: `${GROUP}/writes.ts`,
    find: 'const failed = this.#conditions.failed(operations)\n',
    replace: 'const failed = this.#conditions.failed(operations)\n' +
      'if (failed !== undefined) { this.#leader.replica.out.respond(ticket, ' +
      '{ kind: \'error\', code: \'CONDITION_FAILED\', message: \'\', definite: true, epoch: 0, failed }); return }\n'
  },
  {
    name: 'that a condition failed is forgotten with the values, at handovers', rule: 'S9', file: `${GROUP}/history.ts`,
    find: 'body: { ...body, operations: null,', replace: 'body: { kind: \'write\', id: body.id, operations: null,'
  },
  {
    name: 'an operation from before the memory begins is logged', rule: 'S9', file: `${GROUP}/writes.ts`,
    find: 'id.base < copy.floor', replace: 'id.base < 0'
  },
  {
    name: 'reads are not confirmed', rule: 'S7', file: `${GROUP}/reads.ts`, test: 'test/sim/store-deposed.test.ts',
    find: 'this.#unconfirmed.add(request)', replace: 'then(); return'
  },
  {
    name: 'reads ignore what is committed and not in the data yet', rule: 'S10', file: `${GROUP}/lookup.ts`,
    find: 'const pending = copy.pending(key)', replace: 'const pending = undefined as ReturnType<Copy["pending"]>'
  },
  {
    name: 'reads need no lease', rule: 'S7', file: `${GROUP}/read-lease.ts`,
    find: 'return count >= majorityOf(group!.members.length)', replace: 'return count >= 1'
  },
  {
    name: 'a new leader does not wait for leases', rule: 'S7', file: `${GROUP}/leader.ts`,
    find: ' && !this.lease.waits(now)', replace: ''
  },
  {
    name: 'a session read gets whatever a replica has', rule: 'S10', file: `${GROUP}/local-reads.ts`,
    find: ' || copy.commit < request.after', replace: ''
  },
  {
    name: 'a page forgets what reaches the data while the disk is read', rule: 'S10', file: `${GROUP}/scans.ts`,
    find: 'release: copy.hold() }', replace: 'release: () => {} }'
  },
  {
    name: 'a page has what the disk returns alone', rule: 'S10', file: `${GROUP}/scans.ts`,
    find: 'const changes = copy.changesWithin(told)', replace: 'const changes = copy.changesWithin(told).slice(0, 0)'
  },
  {
    name: 'a watch is told of what is not committed', rule: 'S10', file: `${GROUP}/feed.ts`,
    find: 'while (waiter.seen < copy.commit', replace: 'while (waiter.seen < copy.last'
  },
  {
    name: 'a watch passes over what has lost its values', rule: 'S10', file: `${GROUP}/feed.ts`,
    find: 'const changed = changesOf(entry, prefix)', replace: 'const changed = changesOf(entry, prefix) ?? { seq: entry.seq, changes: [] }'
  },
  {
    name: 'a watch is not told of what was committed when the leader stopped', rule: 'S10', file: `${GROUP}/feed.ts`,
    find: 'this.#answer(request, found, waiter.seen)', replace: 'this.#answer(request, found, copy.last)'
  },
  {
    name: 'what has expired is removed, whatever was written since', rule: 'S10', file: `${GROUP}/writes.ts`,
    find: 'then(operations.filter(operation => this.#conditions.holds(operation)))', replace: 'then(operations)'
  },
  {
    name: 'a new leader counts the time by its own clock', rule: 'S10', file: `${GROUP}/expiry.ts`,
    find: 'this.#base = Math.max(1, time)', replace: 'this.#base = Math.floor(now) + 1'
  },
  {
    name: 'what expires is looked for before the data has it', rule: 'S10', file: `${GROUP}/expiry.ts`,
    find: ' && copy.applied >= this.#look.seq', replace: ''
  },
  {
    name: 'more is said to be swept than was', rule: 'S10', file: `${GROUP}/expiry.ts`,
    find: 'Math.min(look.time, next - 1)', replace: 'look.time + 1000'
  },
  {
    name: 'a snapshot does not tell when values expire', rule: 'S6', file: `${GROUP}/learner.ts`,
    find: 'writes.push({ kind: \'item\', copy: partial.copy.number, ...item })',
    replace: 'writes.push({ kind: \'item\', copy: partial.copy.number, key: item.key, value: item.value, seq: item.seq })'
  },
  {
    name: 'a snapshot gives values the number that it began at', rule: 'S6', file: `${GROUP}/learner.ts`,
    find: 'writes.push({ kind: \'item\', copy: partial.copy.number, ...item })',
    replace: 'writes.push({ kind: \'item\', copy: partial.copy.number, ...item, seq: partial.start })'
  },
  {
    name: 'a delta gives values the number that it ends at', rule: 'S6', file: `${GROUP}/learner.ts`,
    find: 'writes.push({ kind: \'item\', copy: copy.number, ...item })',
    replace: 'writes.push({ kind: \'item\', copy: copy.number, ...item, seq: end.seq })'
  },
  {
    name: 'a copy that is no more stays on the disk', rule: 'S6', file: `${GROUP}/replica-disk.ts`,
    find: 'for (const number of doomed) out.push({ kind: \'deleteCopy\', copy: number })', replace: 'if (doomed.length < 0) then()'
  },
  {
    name: 'a delta does not tell when values expire', rule: 'S6', file: `${GROUP}/delta.ts`, test: 'test/unit/store/expiry.test.ts',
    find: 'items.push({ key, value, seq, ...expires === undefined ? {} : { expires } })', replace: 'items.push({ key, value, seq })'
  },
  {
    name: 'the time is forgotten with the entries that told it', rule: 'S10', file: `${GROUP}/copy.ts`, test: 'test/unit/store/expiry.test.ts',
    find: 'this.#floorTime = timeOf(entry) ?? this.#floorTime', replace: ''
  },
  {
    name: 'the time is forgotten at a restart', rule: 'S10', file: `${GROUP}/replica.ts`, test: 'test/unit/store/expiry.test.ts',
    find: 'entries, this.options, state.time)', replace: 'entries, this.options)'
  },
  {
    name: 'the first leader of a generation counts the time by its own clock', rule: 'S10', file: `${GROUP}/leader.ts`,
    find: 'this.expiry.begin(now)\n    this.append({ kind: \'noop\' })', replace: 'this.append({ kind: \'noop\' })'
  },
  {
    name: 'copies are made at once, though the store may be back', rule: 'R2', file: `${GROUP}/grace.ts`, test: 'test/unit/store/grace.test.ts',
    find: 'return now < until ? { until, epoch } : undefined', replace: 'return undefined'
  },
  {
    name: 'the grace never ends', rule: 'R2', file: `${GROUP}/grace.ts`, test: 'test/unit/store/grace.test.ts',
    find: 'return now < until ? { until, epoch } : undefined', replace: 'return { until, epoch }'
  },
  {
    name: 'a store counts as drained while it has copies', rule: 'S5', file: 'store/drain.ts', test: 'test/sim/store-drain.test.ts',
    find: 'leading + members + copies + seats === 0', replace: 'leading + seats === 0'
  },
  {
    name: 'a store is drained though the others are too few', rule: 'S5', file: 'store/drain.ts', test: 'test/sim/store-drain.test.ts',
    find: 'if (blocked !== undefined) throw new StoreError(\'STORE_TOO_FEW_STORES\', `this', replace: 'if (blocked === \'\') throw new StoreError(\'STORE_TOO_FEW_STORES\', `this'
  },
  {
    name: 'transfers get their places in the order of their coming', rule: 'S11', file: 'store/transfer-schedule.ts', test: 'test/unit/store/transfer-schedule.test.ts',
    find: 'if (other !== holder && wish.liveReplicas < liveReplicas) ahead++', replace: ''
  },
  {
    name: 'transfers are four times as fast as they may be', rule: 'S11', file: 'store/transfer-schedule.ts', test: 'test/unit/store/transfer-schedule.test.ts',
    find: 'Math.max(this.#tokens - bytes, -this.#rate)', replace: 'Math.max(this.#tokens - bytes / 4, -this.#rate)'
  },
  {
    name: 'transfers do not slow down for clients', rule: 'S11', file: 'store/transfer-schedule.ts', test: 'test/unit/store/transfer-schedule.test.ts',
    find: 'this.#rate = Math.max(greatest * RATE_PART_MIN, this.#rate / 2)', replace: 'this.#rate = greatest'
  },
  {
    name: 'the first leader of a generation need not have what it begins from', rule: 'S4', file: `${GROUP}/election.ts`, test: 'test/unit/store/inheriting.test.ts',
    find: '|| !level || view?.live', replace: '|| view?.live'
  },
  {
    name: 'an inherited ballot is heard of before the disk knows of it', rule: 'S4', file: `${GROUP}/replica.ts`, test: 'test/unit/store/inheriting.test.ts',
    find: 'this.disk.persist([], () => { if (this.leader === leader) leader.inherit(now) })', replace: 'leader.inherit(now)'
  },
  {
    name: 'a store that starts again begins its inherited ballot again', rule: 'S4', file: `${GROUP}/election.ts`, test: 'test/unit/store/inheriting.test.ts',
    find: 'if (!force && this.expected() !== self) return\n',
    replace: 'if (!force && this.expected() !== self) return\n' +
      'if (seen.attempt === 0 && seen.store === self && replica.level) { replica.inherit(now, seen); return }\n'
  },
  {
    name: 'a lease is named before the disk has the promise that stands for it', rule: 'S7', file: `${GROUP}/acceptor.ts`, test: 'test/unit/store/inheriting.test.ts',
    find: 'if (replica.disk.promiseDurable) answer()', replace: 'if (replica.group !== undefined) answer()'
  },
  {
    name: 'half a snapshot that nobody goes on with stays', rule: 'S6', file: `${GROUP}/replica.ts`, test: 'test/sim/store-drain.test.ts',
    find: 'this.learner.tick()', replace: ''
  },
  {
    name: 'a delta tells of any number of keys', rule: 'S6', file: `${GROUP}/delta.ts`, test: 'test/unit/store/message-limits.test.ts',
    find: ' || keys.size > DELTA_KEYS_MAX', replace: ''
  },
  {
    name: 'a learner keeps the whole tail', rule: 'S6', file: `${GROUP}/learner.ts`, test: 'test/unit/store/handover.test.ts',
    find: 'if (partial !== undefined) writes.push(...partial.copy.compact())', replace: ''
  },
  {
    name: 'the tail is sent however much of it is under way', rule: 'S6', file: `${GROUP}/teacher.ts`, test: 'test/unit/store/handover.test.ts',
    find: 'if (this.#tails.length >= TAILS_MAX) return', replace: ''
  },
  {
    name: 'promises are not synced where acknowledgements are not', rule: 'S8', file: `${GROUP}/replica-disk.ts`, test: 'test/sim/store-power.test.ts',
    find: 'synced || says === \'more\' || ', replace: ''
  },
  {
    name: 'a store that lost its power counts like any other', rule: 'S8', file: `${GROUP}/doubt.ts`, test: 'test/sim/store-power.test.ts',
    find: 'if (doubted !== true) sure++', replace: 'sure++'
  },
  {
    name: 'a majority that lost its power waits for nobody', rule: 'S8', file: `${GROUP}/doubt.ts`, test: 'test/sim/store-power.test.ts',
    find: 'sure > members - majority)', replace: '(sure > members - majority || all - sure >= majority))'
  },
  {
    name: 'a stop sign waits for acknowledgements that are not synced', rule: 'S5', file: `${GROUP}/handover.ts`, test: 'test/unit/store/synced-log.test.ts',
    find: 'const holders = present.filter(store => this.#hasSynced(store, copy.last))', replace: 'const holders = present.filter(store => this.#holds(store) >= copy.last)'
  },
  {
    name: 'a store is doubted no more once it has what a leader knows to be committed', rule: 'S8', file: `${GROUP}/acceptor.ts`, test: 'test/unit/store/doubt.test.ts',
    find: ' && this.#isOf(ballot, seq)', replace: ''
  },
  {
    name: 'a store is doubted no more whatever process the leader speaks to', rule: 'S8', file: `${GROUP}/acceptor.ts`, test: 'test/unit/store/doubt.test.ts',
    find: ' && message.run === replica.run', replace: ''
  },
  {
    name: 'a lease lasts as long at its holder as at its granter, however their clocks drift', rule: 'S7', file: 'store/leases.ts', test: 'test/unit/store/leases.test.ts',
    find: 'asked.at + ms * (1 - this.options.leaseDriftPercent / 100)', replace: 'asked.at + ms'
  },
  {
    name: 'leases of an earlier leader are waited for by the own clock, however the clocks drift', rule: 'S7', file: `${GROUP}/read-lease.ts`, test: 'test/unit/store/leases.test.ts',
    find: 'const factor = 1 + replica.leases.options.leaseDriftPercent / 100', replace: 'const factor = 1'
  },
  {
    name: 'a lease that its granter forgot is over once any member has obeyed', rule: 'S7', file: `${GROUP}/read-lease.ts`, test: 'test/unit/store/leases.test.ts',
    find: 'group!.members.every(member => member === self || ', replace: 'group!.members.some(member => '
  }
]
