import { wrap } from './table.ts'

/** Paragraphs of a help text into lines of at most `width`; what is indented (options, examples) stays as it is. */
export function wrapHelp(text: string, width: number): string {
  return text
    .split('\n\n')
    .map((block) => {
      const isParagraph = block.split('\n').every((line) => !/^\s+\S|:$/.test(line))
      const [, before = '', words = '', after = ''] = /^(\n*)([\s\S]*?)(\n*)$/.exec(block) ?? []
      return isParagraph ? before + wrap(words.replaceAll('\n', ' '), width, 0) + after : block
    })
    .join('\n\n')
}
