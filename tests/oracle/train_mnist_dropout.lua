-- Made by tests/oracle/make_oracle.py; not to be edited.
--
-- Training mnist_dropout's network with dropout off: Conv2D 32 3x3 relu, Conv2D 64 3x3 relu, MaxPooling2D
-- 2x2, Flatten, Dense 128 relu, Dense 10 softmax; categorical cross-entropy, mean over the batch.
--
-- Inputs and initial weights are generated. From a 32-bit seed x, each element in row-major order (images
-- NHWC, kernels HWIO and IO) is made by
--
--   C:    x = x * 1664525u + 1013904223u;                        // uint32_t, wraps around
--         value = (float)((int)(x >> 8) - 8388608) * (a / 8388608);
--   Lua:  x = (x * 1664525 + 1013904223) & 0xffffffff
--         value = ((x >> 8) - 8388608) * (a / 8388608)           -- then rounded to float32
--
-- which lies in [-a, a). With the a of this file the product is exact in double and a single rounding away
-- in float, so that both give the same float32. A label is (x >> 8) % 10 after the same update of x. Biases
-- (a = 0) start at zero. `first` and `last` hold the first three values and the last one, to check a
-- reader's generator.
--
-- Every step trains on the same batch, in order. Each optimizer starts afresh from the same weights, with
-- Keras's definitions and defaults but for its config. losses.float64 and losses.float32 list the loss of
-- each step's batch before its update, computed in that precision from the same float32 start. The
-- difference between the two says how far rounding alone may move a loss.
return {
  batch_size = 16,
  steps = 20,
  images = {
    name = "images",
    shape = {16,28,28,1},
    a = 0.25,
    seed = 3,
    first = {-0.131384701,0.0253390968,0.186829269},
    last = 0.220391303,
  },
  labels = {shape = {16}, classes = 10, seed = 2, first = {7,0,0}, last = 8},
  weights = {
    {
      name = "conv2d/kernel",
      shape = {3,3,1,32},
      a = 0.142578125,
      seed = 1000,
      first = {0.0352511257,0.137539998,0.00792906713},
      last = -0.0813218206,
    },
    {name = "conv2d/bias", shape = {32}, a = 0},
    {
      name = "conv2d_1/kernel",
      shape = {3,3,32,64},
      a = 0.0830078125,
      seed = 1002,
      first = {0.0206515957,-0.0558244884,0.0659451634},
      last = -0.0526052192,
    },
    {name = "conv2d_1/bias", shape = {64}, a = 0},
    {
      name = "dense/kernel",
      shape = {9216,128},
      a = 0.025390625,
      seed = 1004,
      first = {0.00635631895,-0.00786362495,-0.0118503543},
      last = -0.00952612422,
    },
    {name = "dense/bias", shape = {128}, a = 0},
    {
      name = "dense_1/kernel",
      shape = {128,10},
      a = 0.208984375,
      seed = 1006,
      first = {0.052641362,0.0110990116,0.0568670332},
      last = -0.118610315,
    },
    {name = "dense_1/bias", shape = {10}, a = 0},
  },
  optimizers = {
    {
      class_name = "SGD",
      config = {learning_rate = 0.01},
      losses = {
        float64 = {
          2.30564896,2.29981851,2.29405232,2.28834976,2.2827696,2.27724311,2.27163314,2.26615932,2.26070598,
          2.25531784,2.25006011,2.24473969,2.23947778,2.23416826,2.22886938,2.22361313,2.21833605,
          2.21299324,2.20748795,2.20180092,
        },
        float32 = {
          2.30564857,2.29981852,2.29405236,2.28834963,2.28276968,2.27724314,2.27163339,2.2661593,2.26070595,
          2.25531769,2.25006032,2.24473977,2.23947763,2.23416829,2.22886968,2.22361326,2.21833611,
          2.21299314,2.20748782,2.20180082,
        },
      },
    },
    {
      class_name = "RMSprop",
      config = {learning_rate = 0.001},
      losses = {
        float64 = {
          2.30564896,2.02754783,1.89226556,1.96851272,1.6881782,1.55519751,1.40997577,1.30447637,1.51736145,
          1.14053564,0.906807648,0.749782522,0.70109792,0.672350144,0.762301883,0.354137606,0.236983055,
          0.179536581,0.141449903,0.11471435,
        },
        float32 = {
          2.30564857,2.02754784,1.89226544,1.96851277,1.68817818,1.55519748,1.40997589,1.3044765,1.51736164,
          1.14053535,0.906807482,0.749782681,0.701097786,0.672350585,0.762301862,0.35413757,0.236983061,
          0.179536611,0.141449928,0.114714369,
        },
      },
    },
    {
      class_name = "Adam",
      config = {learning_rate = 0.001},
      losses = {
        float64 = {
          2.30564896,2.12460838,1.96206303,1.85701504,1.78987309,1.68105446,1.57165725,1.47873564,
          1.38217227,1.25803218,1.12944725,1.01042589,0.888776449,0.754643029,0.623575582,0.503955536,
          0.394753489,0.297152736,0.216968263,0.154203218,
        },
        float32 = {
          2.30564857,2.12460828,1.96206295,1.85701525,1.78987324,1.68105435,1.57165718,1.47873545,
          1.38217223,1.25803232,1.12944722,1.01042593,0.888776481,0.754643083,0.623575628,0.503955603,
          0.394753516,0.297152758,0.216968268,0.154203221,
        },
      },
    },
  },
}
