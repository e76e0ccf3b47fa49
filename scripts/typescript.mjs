/**
 * Lets this Node, which can not run TypeScript, run it: `node --import ./scripts/typescript.mjs some-file.ts`.
 * For tests, chaos runs and other programs of this repository that nobody installs; packages run their compiled `dist`.
 */
import { register } from 'node:module'

register('./typescript-hooks.mjs', import.meta.url)
process.setSourceMapsEnabled(true)
