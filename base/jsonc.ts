// JSON with comments and trailing commas, as editors know it: made plain JSON in which every character stays at its place.

const parts = /"(?:[^"\\\n]|\\.)*"?|\/\/[^\n]*|\/\*[\s\S]*?(?:\*\/|$)|,(?=(?:\s|\/\/[^\n]*\n|\/\*[\s\S]*?\*\/)*[}\]])/g;

/** Comments and trailing commas become spaces. */
export function plainJson(text: string): string {
  return text.replace(parts, (part) => (part.startsWith('"') ? part : part.replace(/[^\n]/g, " ")));
}
