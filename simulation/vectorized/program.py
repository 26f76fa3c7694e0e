"""One step of training of many clients at once, as a straight program of torch's operations.

torch.func gives the gradients of one client's loss, and vmap those of many. To do that anew in each step costs more
than the arithmetic: it is done once for each shape, and recorded.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, TypeAlias, cast

import torch
from torch import Tensor, fx, nn
from torch.func import functional_call, grad_and_value, vmap
from torch.fx.experimental.proxy_tensor import make_fx

aten = torch.ops.aten

_SHAPING = (aten.view.default, aten._unsafe_view.default, aten.expand.default, aten.alias.default)

Tensors: TypeAlias = dict[str, Tensor]


class Stack(NamedTuple):
    """The numbers of many clients' models: the first dimension is the client, but in `frozen`, which all share."""

    parameters: Tensors
    buffers: Tensors
    frozen: Tensors

    @property
    def tensors(self) -> list[Tensor]:
        """All of them, in their order."""
        return [*self.parameters.values(), *self.buffers.values(), *self.frozen.values()]

    def of(self, client: int) -> Tensors:
        """What of one client's model can have changed."""
        return {name: value[client] for name, value in (self.parameters | self.buffers).items()}


class Start(NamedTuple):
    """The numbers of the model that clients start from."""

    parameters: Tensors
    buffers: Tensors
    frozen: Tensors

    def stack(self, clients: int) -> Stack:
        """So many of it."""
        return Stack(_repeated(self.parameters, clients), _repeated(self.buffers, clients), self.frozen)


def _repeated(values: Tensors, clients: int) -> Tensors:
    return {
        name: value.expand(clients, *value.shape).clone(memory_format=torch.contiguous_format)
        for name, value in values.items()
    }


def start_of(network: nn.Module) -> Start:
    """The numbers of this model, as copies."""
    parameters = {
        named: {
            name: value.detach().clone() for name, value in network.named_parameters() if value.requires_grad == named
        }
        for named in (True, False)
    }
    buffers = {name: value.detach().clone() for name, value in network.named_buffers()}
    return Start(parameters[True], buffers, parameters[False])


Program: TypeAlias = Callable[..., Tensor]
"""Takes a stack's tensors, the examples' and one `gathered` for each parameter. It makes gathered = decay x gathered +
gradient in place, may change buffers in place, and gives each client's loss."""

Loss: TypeAlias = Callable[..., Tensor]
"""A loss of a model's outputs and of what else there is of the examples: of one client."""


def record(network: nn.Module, loss: Loss, stack: Stack, examples: Sequence[Tensor], decay: float) -> Program:
    """The program for stacks and examples of these shapes.

    Raises:
        RuntimeError: vmap cannot run this model; the text is torch's.
    """
    names, buffer_names = list(stack.parameters), list(stack.buffers)

    def of_one(parameters: Tensors, buffers: Tensors, frozen: Tensors, inputs: Any, *others: Any) -> Tensor:
        outputs = functional_call(network, {**parameters, **buffers, **frozen}, (inputs,))
        return loss(outputs, *others)

    of_many = vmap(grad_and_value(of_one), in_dims=(0, 0, None, *(0 for _ in examples)))

    def step(*given: Tensor) -> list[Tensor]:
        values = iter(given)
        parameters = {name: next(values) for name in names}
        buffers = {name: next(values) for name in buffer_names}
        frozen = {name: next(values) for name in stack.frozen}
        gradients, losses = of_many(parameters, buffers, frozen, *values)
        return [*gradients.values(), losses]

    copies = [value.clone() for value in stack.tensors]  # it is run once, and may change buffers
    recorded = make_fx(step)(*copies, *examples)
    _drop_what_changes_no_shape(recorded.graph)
    recorded.graph.eliminate_dead_code()
    _gather(recorded.graph, decay)
    recorded.graph.eliminate_dead_code()
    recorded.recompile()
    return recorded


def _drop_what_changes_no_shape(graph: fx.Graph) -> None:
    """vmap leaves many such views, of which each costs as much as a small operation."""
    for node in list(graph.nodes):
        if node.target in _SHAPING and _shape(node) == _shape(node.args[0]):
            node.replace_all_uses_with(node.args[0])
            graph.erase_node(node)
        elif node.target is aten.transpose.int and node.args[0].target is aten.transpose.int:
            inner = node.args[0]
            if set(inner.args[1:]) == set(node.args[1:]):
                node.replace_all_uses_with(inner.args[0])
                graph.erase_node(node)


def _shape(node: fx.Node) -> torch.Size:
    shape: torch.Size = node.meta["val"].shape
    return shape


def _gather(graph: fx.Graph, decay: float) -> None:
    """Has gradients added to what was gathered before. The gradient of a matrix is a product of matrices, mostly: it is
    added as it is made, which saves to write and to read it."""
    output = graph.output_node()
    *gradients, losses = cast("list[fx.Node]", output.args[0])
    last = [node for node in graph.nodes if node.op == "placeholder"][-1]
    gathered = []
    for index in range(len(gradients)):
        with graph.inserting_after(last):
            last = graph.placeholder(f"gathered_{index}")
        gathered.append(last)
    output.args = (losses,)
    for gradient, place in zip(gradients, gathered, strict=True):
        with graph.inserting_before(output if gradient.users else gradient.next):
            if gradient.target is aten.bmm.default and not gradient.users and gradients.count(gradient) == 1:
                graph.call_function(aten.baddbmm_.default, (place, *gradient.args), {"beta": decay})
            elif decay:
                scaled = graph.call_function(aten.mul_.Scalar, (place, decay))
                graph.call_function(aten.add_.Tensor, (scaled, gradient))
            else:
                graph.call_function(aten.copy_.default, (place, gradient))
