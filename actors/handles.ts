import type { Calls } from './calls.ts'
import type { Collects } from './collects.ts'
import { ACTIVATION } from './layout.ts'
import type { Reads } from './reads.ts'
import type { AnyState, PacketTime, RuntimeMethod, RuntimeType, Waiter } from './runtime-type.ts'
import type { Turns } from './turns.ts'
import type { Updates } from './updates.ts'

export interface Parts {
  readonly turns: Pick<Turns, 'turn' | 'remove'>
  readonly calls: Calls
  readonly updates: Updates
  readonly reads: Reads
  readonly collects: Collects
}

type StubClass = new (key: unknown, time: PacketTime) => object
/** One class a type and space, so that its methods stay monomorphic whoever's handles they are called by. */
const stubs = new WeakMap<RuntimeType, StubClass>()

/**
 * What a handler reaches the actors of one type by (`SingleWriter` and `MultiWriter` in stub.ts give it its types).
 * `at` makes a stub: a small object that holds the key, of a class that has the type's methods.
 */
export function handleOf(type: RuntimeType, parts: Parts, time: PacketTime): object {
  const Handle = type.writers === 'single' ? SingleHandle : MultiHandle
  const handle = new Handle(type, parts, time)
  if (type.key.name !== 'only') return handle
  // A type of one actor: the handle is its stub as well.
  const stub = handle.at('only')
  for (const method of type.methods) {
    const call = Reflect.get(stub, method.name)
    Object.defineProperty(handle, method.name, { value: call.bind(stub) })
  }
  return handle
}

abstract class Handle {
  protected readonly type: RuntimeType
  protected readonly parts: Parts
  protected readonly time: PacketTime
  private readonly Stub: StubClass

  constructor(type: RuntimeType, parts: Parts, time: PacketTime) {
    this.type = type
    this.parts = parts
    this.time = time
    this.Stub = stubs.get(type) ?? stubClass(type, parts)
    stubs.set(type, this.Stub)
  }

  at(key: unknown): object {
    return new this.Stub(key, this.time)
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
  private readonly turns: Parts['turns']

  constructor(type: RuntimeType, parts: Parts, time: PacketTime) {
    super(type, parts, time)
    this.turns = parts.turns
  }

  with(key: unknown, turn: Waiter['turn']): unknown {
    return this.turns.turn(this.type, key, turn, false, this.time)
  }
  ifPresent(key: unknown, turn: Waiter['turn']): unknown {
    return this.turns.turn(this.type, key, turn, true, this.time)
  }
  remove(key: unknown): unknown {
    return this.turns.remove(this.type, key, this.time)
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

function stubClass(type: RuntimeType, parts: Parts): StubClass {
  class ActorStub {
    // Only declared: a field of a class that is made anew for each type costs a call of its own each time.
    declare readonly key: unknown
    declare readonly time: PacketTime
    constructor(key: unknown, time: PacketTime) {
      this.key = key
      this.time = time
    }
  }
  for (const method of type.methods) {
    Object.defineProperty(ActorStub.prototype, method.name, { value: invoker(type, parts, method) })
  }
  return ActorStub
}

function invoker(type: RuntimeType, parts: Parts, method: RuntimeMethod): unknown {
  const { turns, calls, updates, reads } = parts
  if (method.access === 'untether') {
    return function (this: { key: unknown }, x: unknown) {
      updates.update(type, this.key, method, x)
    }
  }
  if (method.access === 'stale') {
    return function (this: { key: unknown }, ...args: unknown[]) {
      return reads.stale(type, this.key, method, args)
    }
  }
  if (type.writers === 'multi') {
    return function (this: { key: unknown }, ...args: unknown[]) {
      return calls.call(type, this.key, method, args)
    }
  }
  return function (this: { key: unknown; time: PacketTime }, ...args: unknown[]) {
    return turns.turn(type, this.key, (state) => method.run(state!, ...args), false, this.time)
  }
}
