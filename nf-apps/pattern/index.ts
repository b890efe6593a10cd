export { AhoCorasick, FOLD } from './aho-corasick.ts'
export { Regex, RegexError } from './regex.ts'
