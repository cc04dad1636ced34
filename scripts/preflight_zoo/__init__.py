"""Ask NVIDIA's compiler about every published model, without a GPU: `make preflight-zoo`."""
