"""Trains 300 trees of depth 6: `python train_booster.py FEATURES.npy LABELS.npy MODEL.ubj`.

It runs in the environment of the oldest XGBoost, as every newer one reads what that writes.
"""

import sys

import numpy as np
import xgboost as xgb

if __name__ == "__main__":
    features, labels, model = sys.argv[1:]
    parameters = {"objective": "binary:logistic", "max_depth": 6, "eta": 0.1, "nthread": 2}
    matrix = xgb.DMatrix(np.load(features), label=np.load(labels))
    xgb.train(parameters, matrix, num_boost_round=300).save_model(model)
