"""Which names a cell binds and which it needs, so that only what an answer needs is run."""

import ast
import builtins
import symtable
from dataclasses import dataclass

_ALWAYS_THERE = frozenset(dir(builtins)) | {"get_ipython", "display", "__name__"}


@dataclass(frozen=True)
class Names:
    """Names of a cell at its top level.

    Attributes:
        bound: What it assigns, imports or defines.
        needed: What it reads, inside its functions too, and does not have from Python itself.
    """

    bound: frozenset[str]
    needed: frozenset[str]


def names_of(code: str) -> Names | None:
    """Return the names of a cell's code, magics and shell commands included; None if it is not Python."""
    from IPython.core.inputtransformer2 import TransformerManager

    try:
        code = TransformerManager().transform_cell(code)
        # symtable alone accepts a return outside a function, which is what the lower half of a split cell has.
        compile(code, "cell", "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
        table = symtable.symtable(_with_own_scopes(code), "cell", "exec")
    except (SyntaxError, ValueError, RecursionError):  # a null byte is a ValueError
        return None
    top = table.get_symbols()
    bound = {each.get_name() for each in top if each.is_assigned() or each.is_imported()}
    needed = {each.get_name() for each in top if each.is_referenced()}
    for inner in table.get_children():
        found_bound, found_needed = _global_names(inner)
        bound |= found_bound
        needed |= found_needed
    return Names(frozenset(bound), frozenset(needed - _ALWAYS_THERE))


def is_continuation(code: str) -> bool:
    """Whether a cell's code begins in the middle of something, as the lower half of a split cell does."""
    first = next((line for line in code.splitlines() if line.strip()), "")
    return first[:1] in (" ", "\t")


def _with_own_scopes(code: str) -> str:
    try:
        return ast.unparse(_OwnScopes().visit(ast.parse(code)))
    except ValueError:  # before 3.12 not every f-string can be written again
        return code


class _OwnScopes(ast.NodeTransformer):
    """Makes generators of comprehensions, whose names Python 3.12 gives to the scope around them (PEP 709)."""

    def visit_ListComp(self, node: ast.ListComp) -> ast.GeneratorExp:
        self.generic_visit(node)
        return ast.GeneratorExp(node.elt, node.generators)

    def visit_SetComp(self, node: ast.SetComp) -> ast.GeneratorExp:
        self.generic_visit(node)
        return ast.GeneratorExp(node.elt, node.generators)

    def visit_DictComp(self, node: ast.DictComp) -> ast.GeneratorExp:
        self.generic_visit(node)
        return ast.GeneratorExp(ast.Tuple([node.key, node.value], ast.Load()), node.generators)


def _global_names(table: symtable.SymbolTable) -> tuple[set[str], set[str]]:
    bound, needed = set(), set()
    for each in table.get_symbols():
        if each.is_global():
            needed.add(each.get_name())
            if each.is_assigned():
                bound.add(each.get_name())
    for inner in table.get_children():
        found_bound, found_needed = _global_names(inner)
        bound |= found_bound
        needed |= found_needed
    return bound, needed
