"""Pages and APIs for the browsers of this machine: who may ask, and bounds on connections and answers."""
