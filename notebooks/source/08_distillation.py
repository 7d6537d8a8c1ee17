# %% [markdown]
# # 8 · Distillation: staying close
