"""Pickled weights converted to safetensors."""

from pathlib import Path

from strata.runtime.errors import StrataError


def ensure_safetensors(name: str, folder: Path) -> None:
    """Convert pickled weights, loaded with weights_only=True, and remove them."""
    pickled = sorted(folder.glob("pytorch_model*.bin"))
    if any(folder.glob("*.safetensors")):
        for file in [*pickled, *folder.glob("pytorch_model.bin.index.json")]:
            file.unlink()
        return
    if not pickled:
        raise StrataError(
            f"Model '{name}' has no weights: neither *.safetensors nor pytorch_model.bin."
        )
    import torch
    from safetensors.torch import save_file

    tensors: dict[str, torch.Tensor] = {}
    for file in pickled:
        try:
            loaded = torch.load(file, map_location="cpu", weights_only=True)
            # Tied weights share storage, which safetensors does not allow: each gets its own copy.
            tensors |= {str(key): value.clone().contiguous() for key, value in loaded.items()}
        except Exception as error:  # whatever torch raises for other files
            raise StrataError(
                f"Model '{name}': {file.name} is damaged or holds more than tensors "
                f"({type(error).__name__}), so it is not loaded; get the weights as safetensors."
            ) from error
        file.unlink()
    (folder / "pytorch_model.bin.index.json").unlink(missing_ok=True)
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
