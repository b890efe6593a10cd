export { nat } from './nat.ts'
