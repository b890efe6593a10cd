import type { Calls } from './calls.ts'
import type { Collects } from './collects.ts'
import type { Core } from './core.ts'
import type { Definition, Writers } from './define.ts'
import { ACTIVATION, type Page } from './layout.ts'
import type { Reads } from './reads.ts'
import type { Row, RowIndex } from './row-index.ts'
import type { AnyState, PacketTime, RuntimeMethod, RuntimeType } from './runtime-type.ts'
import { straight } from './straight.ts'
import { Turns } from './turns.ts'
import type { Updates } from './updates.ts'
import type { Waiter } from './waiters.ts'

export interface Parts {
  readonly core: Core
  readonly turns: Pick<Turns, 'turn' | 'remove'>
  readonly calls: Calls
  readonly updates: Updates
  readonly reads: Reads
  readonly collects: Collects
}

type StubClass = new (handle: Handle, key: unknown) => object
/**
 * By definition: instances in one process share them, so that its handlers, which they share as well, meet one class, and
 * nothing of an instance that is over is kept.
 */
const stubs = new WeakMap<Definition, StubClass>()

/**
 * What a handler reaches the actors of one type by (`SingleWriter` and `MultiWriter` in stub.ts give it its types).
 * `at` makes a stub: a small object that holds the key, of a class that has the type's methods.
 */
export function handleOf(type: RuntimeType, parts: Parts, time: PacketTime): object {
  const handle = new (handleClass(type, parts))(type, parts, time)
  if (type.key.name !== 'only') return handle
  // A type of one actor: the handle is its stub as well.
  const stub = handle.at('only')
  for (const method of type.methods) {
    const call = Reflect.get(stub, method.name)
    Object.defineProperty(handle, method.name, { value: call.bind(stub) })
  }
  return handle
}

type HandleClass = typeof SingleHandle | typeof MultiHandle

function handleClass(type: RuntimeType, { core, turns }: Parts): HandleClass {
  if (type.writers === 'multi') return MultiHandle
  if (!(turns instanceof Turns)) return SingleHandle // they are elsewhere, so no way is straight
  const { layout, pageBits } = type.table
  const isSpread = core.isSpread(type)
  return straight(StraightHandle, type.definition, { layout, pageBits, isSpread })
}

abstract class Handle {
  readonly type: RuntimeType
  readonly parts: Parts
  readonly time: PacketTime
  private readonly Stub: StubClass

  constructor(type: RuntimeType, parts: Parts, time: PacketTime) {
    this.type = type
    this.parts = parts
    this.time = time
    this.Stub = stubs.get(type.definition) ?? stubClass(type)
    stubs.set(type.definition, this.Stub)
  }

  at(key: unknown): object {
    return new this.Stub(this, key)
  }
  lookup(key: unknown): unknown {
    return this.parts.reads.lookup(this.type, key)
  }
  all(): Promise<unknown> {
    return this.parts.collects.all(this.type)
  }
  *local(): Iterable<{ key: unknown; state: AnyState }> {
    const { type } = this
    for (let row = 0; row < type.table.rowsEnd; row++) {
      if (type.table.get(row, ACTIVATION) === 0) continue
      type.table.keyOf(row, type.words)
      const key = type.key.read(type.words, 0)
      yield { key, state: type.snapshot(row) }
    }
  }
}

class SingleHandle extends Handle {
  protected readonly turns: Parts['turns']

  constructor(type: RuntimeType, parts: Parts, time: PacketTime) {
    super(type, parts, time)
    this.turns = parts.turns
  }

  with(key: unknown, turn: Waiter['turn']): unknown {
    return this.aside(key, turn, false)
  }
  ifPresent(key: unknown, turn: Waiter['turn']): unknown {
    return this.aside(key, turn, true)
  }
  protected aside(key: unknown, turn: Waiter['turn'], mustExist: boolean): unknown {
    return this.turns.turn(this.type, key, turn, mustExist, this.time)
  }
  remove(key: unknown): unknown {
    return this.turns.remove(this.type, key, this.time)
  }
}

/** With what the generated ways need, at hand. */
class StraightHandle extends SingleHandle {
  protected readonly core: Core
  protected readonly index: RowIndex
  protected readonly pages: readonly Page[]
  protected readonly words: Uint32Array

  constructor(type: RuntimeType, parts: Parts, time: PacketTime) {
    super(type, parts, time)
    this.core = parts.core
    this.index = type.table.index
    this.pages = type.table.pages
    this.words = type.words
  }

  /** A turn has answered with more than a plain value: a promise suspends it. */
  protected ended(row: Row, result: unknown): unknown {
    const { turns } = this
    const isSuspended = result instanceof Promise && turns instanceof Turns
    return isSuspended ? turns.suspend(this.type, row, result) : result
  }
}

class MultiHandle extends Handle {
  create(key: unknown): unknown {
    return this.parts.calls.create(this.type, key)
  }
  remove(key: unknown): unknown {
    return this.parts.calls.remove(this.type, key)
  }
}

/** An actor as its callers reach it. */
interface ActorStub {
  readonly handle: Handle
  readonly key: unknown
}

function stubClass({ methods, writers }: RuntimeType): StubClass {
  class Stub implements ActorStub {
    // Only declared: a field of a class that is made anew for each type costs a call of its own each time.
    declare readonly handle: Handle
    declare readonly key: unknown
    constructor(handle: Handle, key: unknown) {
      this.handle = handle
      this.key = key
    }
  }
  for (const method of methods) {
    Object.defineProperty(Stub.prototype, method.name, { value: invoker(writers, method) })
  }
  return Stub
}

function invoker(writers: Writers, method: RuntimeMethod): unknown {
  if (method.access === 'untether') {
    return function (this: ActorStub, x: unknown) {
      const { type, parts } = this.handle
      parts.updates.update(type, this.key, method, x)
    }
  }
  if (method.access === 'stale') {
    return function (this: ActorStub, ...args: unknown[]) {
      const { type, parts } = this.handle
      return parts.reads.stale(type, this.key, method, args)
    }
  }
  if (writers === 'multi') {
    return function (this: ActorStub, ...args: unknown[]) {
      const { type, parts } = this.handle
      return parts.calls.call(type, this.key, method, args)
    }
  }
  return function (this: ActorStub, ...args: unknown[]) {
    const { type, parts, time } = this.handle
    return parts.turns.turn(type, this.key, (state) => method.run(state!, ...args), false, time)
  }
}
