"""Every small change of a function: what the mutation tool applies to a solution.

The operators are those of mutmut and cosmic-ray (comparisons, constants, arithmetic, deleted statements) and those that
matter here: the axis, the order of arguments, `terminated` for `truncated`, ties, a missing `abs`, a copy left out.
"""

import ast
import copy
import difflib
from collections.abc import Iterator, Sequence

ORDERS: dict[type[ast.cmpop], tuple[type[ast.cmpop], ...]] = {
    ast.Lt: (ast.LtE, ast.Gt),
    ast.LtE: (ast.Lt, ast.GtE),
    ast.Gt: (ast.GtE, ast.Lt),
    ast.GtE: (ast.Gt, ast.LtE),
    ast.Eq: (ast.NotEq,),
    ast.NotEq: (ast.Eq,),
}
ARITHMETIC: dict[type[ast.operator], tuple[type[ast.operator], ...]] = {
    ast.Add: (ast.Sub,),
    ast.Sub: (ast.Add,),
    ast.Mult: (ast.Div,),
    ast.Div: (ast.Mult,),
    ast.Pow: (ast.Mult,),
    ast.BitOr: (ast.BitAnd,),
    ast.BitAnd: (ast.BitOr,),
}
FUNCTIONS = {
    "min": "max",
    "max": "min",
    "amin": "amax",
    "amax": "amin",
    "minimum": "maximum",
    "maximum": "minimum",
    "argmin": "argmax",
    "argmax": "argmin",
    "sum": "mean",
    "mean": "sum",
    "any": "all",
    "all": "any",
    "floor": "ceil",
    "cumsum": "cumprod",
    "cumprod": "cumsum",
    "zeros": "ones",
    "ones": "zeros",
    "std": "var",
    "var": "std",
    "norm": "norm_squared",
}
TYPES = {"int", "float", "bool", "astype", "tolist", "list", "dict", "range", "len", "zip", "enumerate", "asarray"}
ENDS = {"terminated", "truncated", "terminations", "truncations"}
# What a changed solution may call besides its own names.
HELPERS = """
def last_argmax(x, axis=None):
    return x.size - 1 - np.argmax(x[::-1]) if x.ndim == 1 else x.shape[axis] - 1 - np.argmax(np.flip(x, axis), axis)


def norm_squared(x, *args, **kwargs):
    return np.linalg.norm(x, *args, **kwargs) ** 2
"""


def mutants(source: str) -> dict[str, str]:
    """Each changed source under the lines that changed."""
    tree = ast.parse(source)
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef) and ast.get_docstring(node):
            del node.body[0]
    before, found = ast.unparse(tree), {}
    for changed in _trees(tree):
        try:
            after = ast.unparse(changed)
            compile(after, "", "exec")
        except (SyntaxError, ValueError):  # a `return` that nothing precedes, say
            continue
        if (name := _name(before, after)) and after != before:
            found[name] = after
    return found


def _name(before: str, after: str) -> str:
    diff = list(difflib.unified_diff(before.splitlines(), after.splitlines(), n=0))[2:]
    added, removed = ([line[1:].strip() for line in diff if line.startswith(sign)] for sign in "+-")
    return "; ".join(added) or "without " + "; ".join(removed)


def _trees(tree: ast.Module) -> Iterator[ast.Module]:
    """The tree with one node changed at a time, each change undone before the next."""
    for function in (node for node in tree.body if isinstance(node, ast.FunctionDef | ast.ClassDef)):
        for path, names in list(_paths(function, [("body", tree.body.index(function))], [])):
            node, parent = _at(tree, path), _at(tree, path[:-1])
            field, place = path[-1]
            before = getattr(parent, field)
            for new in list(_changes(node, names, parent)):
                changed: object = new
                if place is not None:
                    rest = before[:place] + ([] if new is None else [new]) + before[place + 1 :]
                    changed = rest if rest or field != "body" else [ast.Pass()]
                setattr(parent, field, changed)
                yield tree
            setattr(parent, field, before)


Path = list[tuple[str, int | None]]


def _paths(node: ast.AST, path: Path, names: Sequence[str]) -> Iterator[tuple[Path, Sequence[str]]]:
    if isinstance(node, ast.FunctionDef):
        stored = [n.id for n in ast.walk(node) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)]
        names = list(dict.fromkeys([*names, *(a.arg for a in node.args.args), *stored]))
    yield path, names
    if ast.unparse(node).startswith("len(") or (isinstance(node, ast.Attribute) and node.attr in ("shape", "size")):
        return  # the length of another array of the batch is the same
    for field, value in ast.iter_fields(node):
        if field in ("args", "decorator_list", "annotation", "returns", "targets") and not isinstance(node, ast.Call):
            continue
        if isinstance(value, ast.AST):
            yield from _paths(value, [*path, (field, None)], names)
        elif isinstance(value, list):
            for place, each in enumerate(value):
                if isinstance(each, ast.AST):
                    yield from _paths(each, [*path, (field, place)], names)


def _at(tree: ast.AST, path: Path) -> ast.AST:
    for field, place in path:
        tree = getattr(tree, field) if place is None else getattr(tree, field)[place]
    return tree


def _expression(text: str, **parts: ast.expr) -> ast.expr:
    """A template with its capital letters replaced by expressions."""

    class Fill(ast.NodeTransformer):
        def visit_Name(self, node: ast.Name) -> ast.expr:
            return copy.deepcopy(parts.get(node.id, node))

    filled = Fill().visit(ast.parse(text, mode="eval").body)
    assert isinstance(filled, ast.expr)
    return filled


def _with(node: ast.AST, **fields: object) -> ast.AST:
    new = copy.deepcopy(node)
    for name, value in fields.items():
        setattr(new, name, value)
    return new


def _changes(node: ast.AST, names: Sequence[str], parent: ast.AST) -> Iterator[ast.AST | None]:
    """What can stand in place of a node; None deletes a statement."""
    match node:
        case ast.Compare(ops=[op]):
            for other in ORDERS.get(type(op), ()):
                yield _with(node, ops=[other()])
        case ast.BoolOp(op=op, values=values):
            yield _with(node, op=ast.And() if isinstance(op, ast.Or) else ast.Or())
            yield from values
        case ast.BinOp(left=left, op=op, right=right):
            for another in ARITHMETIC.get(type(op), ()):
                yield _with(node, op=another())
            yield from (left, right)
            if isinstance(op, ast.Div | ast.MatMult | ast.Pow) or (isinstance(op, ast.Sub) and not _is_size(parent)):
                yield _with(node, left=right, right=left)
            if isinstance(op, ast.Mult | ast.Add | ast.Sub | ast.Div):
                for twice in (left, right):
                    if not isinstance(twice, ast.Constant) and not _is_mask(twice):
                        yield ast.BinOp(node, op, twice)
        case ast.UnaryOp(operand=operand):
            if not isinstance(parent, ast.Call | ast.keyword) or not isinstance(operand, ast.Constant):
                yield operand  # the axis 1 for the axis -1 is no change
        case ast.Constant(value=bool(value)):
            yield ast.Constant(not value)
        case ast.Constant(value=int(value)):
            yield from (ast.Constant(value + 1), ast.Constant(value - 1))
        case ast.Constant(value=float(value)):
            yield from (ast.Constant(value + 0.5), ast.Constant(value - 0.5))
        case ast.IfExp(test=test, body=body, orelse=orelse):
            yield from (body, orelse, _expression("A if C else B", A=orelse, B=body, C=test))
        case ast.Name(id=name, ctx=ast.Load()) if name in names:
            yield from (ast.Name(other, ast.Load()) for other in names if other != name)
            yield from (_expression(f"np.{fill}_like(A)", A=node) for fill in ("zeros", "ones"))
            for flag in ENDS & {*names} - {name} if name in ENDS else ():
                yield from (_expression(f"A {op} {flag}", A=node) for op in "|&")
        case ast.Subscript(slice=ast.Slice() as cut):
            yield from (_with(node, slice=new) for new in _slices(cut))
        case ast.Subscript(slice=ast.Tuple(elts=elements), ctx=ast.Load()):
            for place, each in enumerate(elements):
                if isinstance(each, ast.Slice):
                    for new in _slices(each):
                        changed = [*elements[:place], new, *elements[place + 1 :]]
                        yield _with(node, slice=ast.Tuple(changed, ast.Load()))
        case ast.Subscript(slice=ast.Name() | ast.BinOp() as index):
            yield from (_with(node, slice=_expression(f"I {step}", I=index)) for step in ("+ 1", "- 1"))
        case ast.Call():
            yield from _calls(node)
        case ast.keyword(arg=str()):
            yield None
        case ast.Return(value=ast.Tuple(elts=elements)):
            for a in range(len(elements) - 1):
                order = [*elements[:a], elements[a + 1], elements[a], *elements[a + 2 :]]
                yield _with(node, value=ast.Tuple(order, ast.Load()))
        case ast.Return(value=ast.expr() as value):
            yield _with(node, value=_expression("-A", A=value))
        case ast.AugAssign(target=target, op=op, value=value):
            yield None
            yield _with(ast.Assign([target], value), lineno=0)
            for another in ARITHMETIC.get(type(op), ()):
                yield _with(node, op=another())
        case ast.Assign() | ast.Continue() | ast.Break():
            yield None
        case ast.Expr(value=value) if not isinstance(value, ast.Constant):
            yield None
        case ast.If(test=test):
            yield from (_with(node, test=ast.Constant(value)) for value in (True, False))
            yield _with(node, test=_expression("not A", A=test))
        case ast.While(test=test):
            yield _with(node, test=_expression("not A", A=test))
        case ast.FunctionDef(args=ast.arguments(args=arguments)):
            for argument in arguments:
                for fill in ("zeros", "ones"):
                    start = ast.parse(f"{argument.arg} = np.{fill}_like({argument.arg})").body
                    yield _with(node, body=[*start, *copy.deepcopy(node.body)])


def _is_size(node: ast.AST) -> bool:
    """Whether a sign within it does not matter."""
    text = ast.unparse(node)
    return text.startswith(("abs(", "np.abs(", "np.linalg.norm(", "np.square(")) or text.endswith("** 2")


def _is_mask(node: ast.expr) -> bool:
    """Whether it is 0 or 1, so that twice the factor is the factor."""
    return ast.unparse(node).startswith(("~", "1 - ", "1.0 - ")) and not isinstance(node, ast.Call)


def _slices(cut: ast.Slice) -> Iterator[ast.Slice]:
    for bound in ("lower", "upper", "step"):
        there = getattr(cut, bound)
        if there is None and bound != "step":
            yield _with(cut, **{bound: ast.Constant(1 if bound == "lower" else -1)})  # type: ignore[misc]
        elif there is not None:
            yield _with(cut, **{bound: None})  # type: ignore[misc]
            if not isinstance(there, ast.Constant | ast.UnaryOp):
                for step in ("+ 1", "- 1"):
                    yield _with(cut, **{bound: _expression(f"I {step}", I=there)})  # type: ignore[misc]


def _calls(node: ast.Call) -> Iterator[ast.expr]:
    method = isinstance(node.func, ast.Attribute)
    name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
    owner = node.func.value if isinstance(node.func, ast.Attribute) else None
    library = isinstance(owner, ast.Name | ast.Attribute) and ast.unparse(owner) in (
        "np",
        "torch",
        "math",
        "np.linalg",
        "F",
        "torch.nn.functional",
    )
    if name == "range":
        for step in ("+ 1", "- 1"):
            for place, each in enumerate(node.args):
                if not isinstance(each, ast.Constant):
                    new = [*node.args[:place], _expression(f"I {step}", I=each), *node.args[place + 1 :]]
                    yield _with(node, args=new)  # type: ignore[misc]
        if len(node.args) == 1:
            yield _with(node, args=[ast.Constant(1), *node.args])  # type: ignore[misc]
    if name in TYPES:
        return
    if name == "norm":
        yield _with(node, func=ast.Name("norm_squared", ast.Load()))  # type: ignore[misc]
        yield _with(node, keywords=[*node.keywords, ast.keyword("ord", ast.Constant(1))])  # type: ignore[misc]
    elif name in FUNCTIONS:
        func = ast.Attribute(owner, FUNCTIONS[name]) if owner else ast.Name(FUNCTIONS[name], ast.Load())
        yield _with(node, func=func)  # type: ignore[misc]
    if name == "argmax":
        arguments = node.args if library else [owner, *node.args]
        yield _with(node, func=ast.Name("last_argmax", ast.Load()), args=arguments)  # type: ignore[misc]
    if method and not library:
        assert owner is not None
        yield owner
    if (library or not method) and node.args and not isinstance(node.args[0], ast.Starred):
        yield node.args[0]
    if len(node.args) >= 2 and name not in ("minimum", "maximum", "min", "max"):  # where the order does not matter
        for place in range(len(node.args)):
            yield _with(node, args=[*node.args[:place], *node.args[place + 1 :]])  # type: ignore[misc]
        for place in range(len(node.args) - 1):
            a, b = node.args[place : place + 2]
            yield _with(node, args=[*node.args[:place], b, a, *node.args[place + 2 :]])  # type: ignore[misc]
