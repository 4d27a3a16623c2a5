"""MLServer with adaptive batching of 64 rows or 2 ms. (Its own scikit-learn runtime returns no probabilities.)"""

import json
import sys
from pathlib import Path

from mlserver import MLModel
from mlserver.codecs import NumpyCodec
from mlserver.types import InferenceResponse


class Model(MLModel):
    async def load(self):
        from shared import MODEL

        self.model = MODEL
        return True

    async def predict(self, payload):
        rows = NumpyCodec.decode_input(payload.inputs[0])
        output = (
            self.model.predict_proba(rows)
            if hasattr(self.model, "predict_proba")
            else self.model.predict(rows)
        )
        return InferenceResponse(
            model_name=self.name, outputs=[NumpyCodec.encode_output("predict", output.round(4))]
        )


if __name__ == "__main__":
    folder, port = Path(sys.argv[1]), int(sys.argv[2])
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "settings.json").write_text(
        json.dumps(
            {
                "host": "127.0.0.1",
                "http_port": port,
                "grpc_port": port + 1000,
                "metrics_port": port + 2000,
                "parallel_workers": 0,
                "debug": False,
                "use_structured_logging": False,
            }
        )
    )
    (folder / "model-settings.json").write_text(
        json.dumps(
            {
                "name": "model",
                "implementation": "mlserver_app.Model",
                "max_batch_size": 64,
                "max_batch_time": 0.002,
            }
        )
    )
