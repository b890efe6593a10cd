import { defineConfig } from 'vitest/config'

export default defineConfig({
  test: {
    include: ['test/**/*.test.ts'],
    testTimeout: 60_000,
    hookTimeout: 60_000,
    // Two cores: one file of processes and servers beside one of pure code is what the machine bears.
    maxWorkers: 2,
    // Rehearsals have tests of their own, and the benches' processes rehearse whatever this says.
    env: { REHOME_REHEARSE: '0' },
  },
})
