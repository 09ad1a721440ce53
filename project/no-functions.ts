// ② What a project without functions is told.

export const noFunctions = [
  "the project has no functions yet; one looks like this:",
  "    import hob",
  '    app = hob.App("hello")',
  "    @app.function()",
  '    def greet(name="world"): return f"hello {name}"',
].join("\n");
