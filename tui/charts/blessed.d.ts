// ⑧ The little of blessed and blessed-contrib that contrib.ts uses; neither package has types of its own.

declare module "blessed" {
  /** A cell: attributes (foreground in bits 9–17) and the character. */
  export type Cell = [attributes: number, character: string];
  export interface Screen {
    lines: Cell[][];
    append(node: object): void;
    render(): void;
    draw(start: number, end: number): void;
    destroy(): void;
  }
  interface Blessed {
    Screen: { _bound?: boolean };
    Program: { _bound?: boolean };
    screen(options: object): Screen;
  }
  const blessed: Blessed;
  export default blessed;
}

declare module "blessed-contrib/lib/widget/donut.js" {
  export interface Donut {
    setData(data: readonly { label: string; percent: number; color: string }[]): void;
  }
  const createDonut: (options: object) => Donut;
  export default createDonut;
}
