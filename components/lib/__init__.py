"""Plain logic shared by the steps and the predictor: one topic a module, no KFP."""
