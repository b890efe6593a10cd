let total = 0

/** Kept outside actors, in a module that the NF imports: each instance has a total of its own. */
export function oneMore(): number {
  return ++total
}
