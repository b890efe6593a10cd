import type { MemberNo } from '../../../bus/index.ts'
import type { Instance, Source } from '../../../cli/index.ts'
import { type ActorType, HASH, insideOf, replace } from './inside.ts'

interface Order {
  readonly number: number
  readonly to: MemberNo
}
interface Place {
  /** Home, or the one who has sent the state away. */
  at: MemberNo
  /** Where the state is on its way to; 0: it lies at `at`. */
  to: MemberNo
  /** Moves ordered that have not come about. */
  orders: Order[]
}

type Act = [type: ActorType, row: number, ...rest: unknown[]]

/**
 * Where each actor's state is, by watching the members from within: which actors a crash may take, and no others.
 */
export class Whereabouts {
  private readonly places = new Map<string, Place>()

  watch(body: Instance | Source): void {
    const { core, homes, directory, slots } = insideOf(body)
    const { self } = core
    const place = ([type, row]: Act) => this.placeOf(type, row)
    replace<Act, void>(core, 'activate', (original) => (...args) => {
      const [, , number] = args
      const here = place(args)
      here.at = self
      here.to = 0
      here.orders = here.orders.filter((o) => o.number > Number(number))
      original(...args)
    })
    replace<Act, void>(homes, 'give', (original) => (...args) => {
      const transfer = args[3] as { to: MemberNo }
      const here = place(args)
      original(...args)
      // What it was given for may have run at once, so only what still lies here is on its way now.
      if (here.at === self) here.to = transfer.to
    })
    replace<Act, void>(directory, 'order', (original) => (...args) => {
      const to = Number(args[2])
      const here = place(args)
      original(...args)
      const number = Number(Reflect.get(slots, 'counters')[core.slot(hashOf(args))])
      here.orders.push({ number, to })
    })
  }

  private placeOf(type: ActorType, row: number): Place {
    const name = nameOf(type, row)
    let place = this.places.get(name)
    if (!place) {
      place = { at: 0, to: 0, orders: [] }
      this.places.set(name, place)
    }
    return place
  }

  /** Whether that member's crash may take the actor: it is there, or comes from there, or may go there. */
  mayGoWith(no: MemberNo, actor: string): boolean {
    const place = this.places.get(actor)
    if (!place) return false
    return place.at === no || place.to === no || place.orders.some((o) => o.to === no)
  }
}

function nameOf(type: ActorType, row: number): string {
  const words = new Uint32Array(type.words.length)
  type.table.keyOf(row, words)
  return `${type.name}/${type.keyText(words)}`
}
function hashOf([type, row]: Act): number {
  return type.table.get(row, HASH)
}
