/** The part of plotly that the page uses. */
interface PlotlyPart {
  newPlot(root: HTMLElement, data: any[], layout: any, config?: any): Promise<any>;
  react(root: HTMLElement, data: any[], layout: any, config?: any): Promise<any>;
  restyle(root: HTMLElement, changes: any, traces?: number[]): Promise<any>;
  relayout(root: HTMLElement, changes: any): Promise<any>;
  purge(root: HTMLElement): void;
  toImage(root: HTMLElement, options: any): Promise<string>;
}

interface Window {
  Plotly?: PlotlyPart;
}

declare module "plotly.js/lib/core" {
  const core: any;
  export default core;
}

declare module "plotly.js/lib/heatmap" {
  const heatmap: any;
  export default heatmap;
}
