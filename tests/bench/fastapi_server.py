"""What many write themselves: FastAPI, a pydantic model, `inplace_predict`."""

import sys
from pathlib import Path

import numpy as np
import uvicorn
import xgboost as xgb
from fastapi import FastAPI
from pydantic import BaseModel

app = FastAPI()
booster = xgb.Booster(params={"nthread": 1}, model_file=Path(sys.argv[1]))


class Rows(BaseModel):
    instances: list[list[float]]


class Predictions(BaseModel):
    predictions: list[float]


@app.get("/v2/models/bench/ready")
async def ready() -> bool:
    return True


@app.post("/v1/models/bench:predict")
async def predict(rows: Rows) -> Predictions:
    matrix = np.array(rows.instances, dtype=np.float32)
    return Predictions(predictions=booster.inplace_predict(matrix).tolist())


if __name__ == "__main__":
    uvicorn.run(app, host="127.0.0.1", port=int(sys.argv[2]))
