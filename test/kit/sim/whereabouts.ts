import type { MemberNo } from '../../../bus/index.ts'
import type { Instance, Source } from '../../../cli/index.ts'
import { type ActorType, insideOf, replace } from './inside.ts'

interface Place {
  /** Home, or the one who has sent the state away. */
  at: MemberNo
  /** Where the state is on its way to; 0: it lies at `at`. */
  to: MemberNo
}

type Act = [type: ActorType, row: number, ...rest: unknown[]]

/** Where each actor's state is, by watching the members from within: which actors a crash may take, and no others. */
export class Whereabouts {
  /** An actor is sent to one who is dead, by somebody who does not know. */
  onDoomed: (actor: string) => void = () => {}
  private readonly places = new Map<string, Place>()
  private readonly dead = new Set<MemberNo>()

  get actors(): Iterable<string> {
    return this.places.keys()
  }

  watch(body: Instance | Source): void {
    const { core, homes } = insideOf(body)
    const { self } = core
    replace<Act, void>(core, 'activate', (original) => (...args) => {
      this.places.set(nameOf(args), { at: self, to: 0 })
      original(...args)
    })
    replace<Act, void>(homes, 'give', (original) => (...args) => {
      const { to } = args[3] as { to: MemberNo }
      const name = nameOf(args)
      // First: what it causes here may bring the actor back at once.
      this.places.set(name, { at: self, to })
      original(...args)
      if (this.dead.has(to)) this.onDoomed(name)
    })
  }

  /** Answers whether the crash may take an actor: it is there, or comes from there, or is on its way there. */
  crash(no: MemberNo): (actor: string) => boolean {
    this.dead.add(no)
    return (actor) => {
      const place = this.places.get(actor)
      return place?.at === no || place?.to === no
    }
  }
}

function nameOf([type, row]: Act): string {
  const words = new Uint32Array(type.words.length)
  type.table.keyOf(row, words)
  return `${type.name}/${type.keyText(words)}`
}
