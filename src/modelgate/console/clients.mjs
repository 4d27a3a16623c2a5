// The clients that each wire format serves. A dialect of the owner's own is shown under its name.

// `shares` is set if a response has the probability of the predicted class only ("one"), or no probabilities ("none").
const CLIENTS = {
  __proto__: null,
  native: { label: "modelgate", about: "The format of this gate and its client, with explanations and intervals." },
  mlclever: { label: "ML Clever clients", about: "For programs that call the ML Clever Prediction API.", link: "https://mlclever.com" },
  plexe: { label: "Plexe clients", about: "For programs that call the Plexe inference API.", link: "https://docs.plexe.ai", shares: "one" },
  datarobot: { label: "DataRobot clients", about: "For programs that call the DataRobot Prediction API.", link: "https://docs.datarobot.com" },
  peltarion: { label: "Peltarion clients", about: "For programs that call the Peltarion Deployment API, as sidekick does.", link: "https://github.com/Peltarion/sidekick" },
  simple: { label: "Plain JSON", about: "A row is sent, and its prediction returned.", shares: "one" },
  open_inference: { label: "Triton, KServe v2, MLServer", about: "The Open Inference Protocol, with a tensor for each column.", link: "https://github.com/kserve/open-inference-protocol" },
  tf_serving: { label: "TensorFlow Serving, KServe v1", about: "The REST API of TensorFlow Serving.", link: "https://github.com/tensorflow/serving/blob/master/tensorflow_serving/g3doc/api_rest.md", shares: "none" },
  mlflow: { label: "MLflow, SageMaker, Vertex AI", about: "The scoring protocol of MLflow models, which hosted endpoints use too.", link: "https://mlflow.org", shares: "none" },
};

const SHARES = {
  one: "Responses in this wire format have the probability of the predicted class only.",
  none: "Responses in this wire format have no probabilities.",
};

export const clientsOf = (dialect) => CLIENTS[dialect] ?? { label: dialect, about: "A wire format that the owner of this gate has added." };

// The remark that a wire format has no probabilities for a classifier; "" if it has them.
export function missingShares(dialect, targets) {
  return (targets.some(({ classes }) => classes) && SHARES[clientsOf(dialect).shares]) || "";
}

// Request templates with the wire format native first.
export function nativeFirst(samples) {
  return [...samples].sort((one, other) => (other.dialect === "native") - (one.dialect === "native"));
}
