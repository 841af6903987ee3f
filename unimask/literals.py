"""Python values in texts that nobody may run: command lines and the configs of strangers."""

from __future__ import annotations

import ast
import math
from typing import Any

__all__ = ['plain_value']


def plain_value(node: ast.expr) -> Any:
    """The value of a parsed expression that runs nothing.

    Lists, tuples, sets, dictionaries, ``dict(key=...)``, numbers, texts, ``inf`` and ``nan``.

    Raises:
        ValueError: It holds anything else.
    """
    match node:
        case ast.Constant():
            return node.value
        case ast.List() | ast.Tuple() | ast.Set():
            kind = {ast.List: list, ast.Tuple: tuple, ast.Set: set}[type(node)]
            return kind(plain_value(item) for item in node.elts)
        case ast.Dict() if None not in node.keys:
            return {plain_value(key): plain_value(value)
                    for key, value in zip(node.keys, node.values, strict=True)}
        case ast.Call(func=ast.Name(id='dict'), args=[]) if all(k.arg for k in node.keywords):
            return {keyword.arg: plain_value(keyword.value) for keyword in node.keywords}
        case ast.UnaryOp(op=ast.USub() | ast.UAdd(), operand=ast.Constant(value=int() | float())):
            return -node.operand.value if isinstance(node.op, ast.USub) else node.operand.value
        case ast.UnaryOp(op=ast.USub(), operand=ast.Name(id='inf')):
            return -math.inf
        case ast.Name(id='inf' | 'nan'):
            return float(node.id)
    raise ValueError(f'line {node.lineno} has "{ast.unparse(node)[:60]}", which is no plain value')
