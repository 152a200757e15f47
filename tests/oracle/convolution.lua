-- Made by tests/oracle/make_oracle.py; not to be edited.
--
-- numpy.convolve and correlate, scipy.signal.convolve2d and correlate2d, of integers: results are exact. In
-- one dimension "same" is as long as the longer array (NumPy), in two it has the shape of the first
-- (SciPy).
return {
  {
    name = "convolve full 9 by 4",
    op = "convolve",
    attributes = {mode = "full"},
    inputs = {
      {shape = {9}, data = {2,8,3,7,1,2,0,4,5}},
      {shape = {4}, data = {2,1,5,3}},
    },
    output = {shape = {12}, data = {4,18,24,63,48,49,28,21,20,25,37,15}},
  },
  {
    name = "correlate full 9 by 4",
    op = "correlate",
    attributes = {mode = "full"},
    inputs = {
      {shape = {9}, data = {2,8,3,7,1,2,0,4,5}},
      {shape = {4}, data = {2,1,5,3}},
    },
    output = {shape = {12}, data = {6,34,51,48,57,24,25,16,39,29,13,10}},
  },
  {
    name = "convolve same 9 by 4",
    op = "convolve",
    attributes = {mode = "same"},
    inputs = {
      {shape = {9}, data = {2,8,3,7,1,2,0,4,5}},
      {shape = {4}, data = {2,1,5,3}},
    },
    output = {shape = {9}, data = {18,24,63,48,49,28,21,20,25}},
  },
  {
    name = "correlate same 9 by 4",
    op = "correlate",
    attributes = {mode = "same"},
    inputs = {
      {shape = {9}, data = {2,8,3,7,1,2,0,4,5}},
      {shape = {4}, data = {2,1,5,3}},
    },
    output = {shape = {9}, data = {34,51,48,57,24,25,16,39,29}},
  },
  {
    name = "convolve valid 9 by 4",
    op = "convolve",
    attributes = {mode = "valid"},
    inputs = {
      {shape = {9}, data = {2,8,3,7,1,2,0,4,5}},
      {shape = {4}, data = {2,1,5,3}},
    },
    output = {shape = {6}, data = {63,48,49,28,21,20}},
  },
  {
    name = "correlate valid 9 by 4",
    op = "correlate",
    attributes = {mode = "valid"},
    inputs = {
      {shape = {9}, data = {2,8,3,7,1,2,0,4,5}},
      {shape = {4}, data = {2,1,5,3}},
    },
    output = {shape = {6}, data = {48,57,24,25,16,39}},
  },
  {
    name = "convolve full 5 by 3",
    op = "convolve",
    attributes = {mode = "full"},
    inputs = {{shape = {5}, data = {1,2,3,4,5}}, {shape = {3}, data = {1,0,-1}}},
    output = {shape = {7}, data = {1,2,2,2,2,-4,-5}},
  },
  {
    name = "correlate full 5 by 3",
    op = "correlate",
    attributes = {mode = "full"},
    inputs = {{shape = {5}, data = {1,2,3,4,5}}, {shape = {3}, data = {1,0,-1}}},
    output = {shape = {7}, data = {-1,-2,-2,-2,-2,4,5}},
  },
  {
    name = "convolve same 5 by 3",
    op = "convolve",
    attributes = {mode = "same"},
    inputs = {{shape = {5}, data = {1,2,3,4,5}}, {shape = {3}, data = {1,0,-1}}},
    output = {shape = {5}, data = {2,2,2,2,-4}},
  },
  {
    name = "correlate same 5 by 3",
    op = "correlate",
    attributes = {mode = "same"},
    inputs = {{shape = {5}, data = {1,2,3,4,5}}, {shape = {3}, data = {1,0,-1}}},
    output = {shape = {5}, data = {-2,-2,-2,-2,4}},
  },
  {
    name = "convolve valid 5 by 3",
    op = "convolve",
    attributes = {mode = "valid"},
    inputs = {{shape = {5}, data = {1,2,3,4,5}}, {shape = {3}, data = {1,0,-1}}},
    output = {shape = {3}, data = {2,2,2}},
  },
  {
    name = "correlate valid 5 by 3",
    op = "correlate",
    attributes = {mode = "valid"},
    inputs = {{shape = {5}, data = {1,2,3,4,5}}, {shape = {3}, data = {1,0,-1}}},
    output = {shape = {3}, data = {-2,-2,-2}},
  },
  {
    name = "convolve full 7 by 2",
    op = "convolve",
    attributes = {mode = "full"},
    inputs = {
      {shape = {7}, data = {3,0,-7,9,-1,-2,-2}},
      {shape = {2}, data = {3,1}},
    },
    output = {shape = {8}, data = {9,3,-21,20,6,-7,-8,-2}},
  },
  {
    name = "correlate full 7 by 2",
    op = "correlate",
    attributes = {mode = "full"},
    inputs = {
      {shape = {7}, data = {3,0,-7,9,-1,-2,-2}},
      {shape = {2}, data = {3,1}},
    },
    output = {shape = {8}, data = {3,9,-7,-12,26,-5,-8,-6}},
  },
  {
    name = "convolve same 7 by 2",
    op = "convolve",
    attributes = {mode = "same"},
    inputs = {
      {shape = {7}, data = {3,0,-7,9,-1,-2,-2}},
      {shape = {2}, data = {3,1}},
    },
    output = {shape = {7}, data = {9,3,-21,20,6,-7,-8}},
  },
  {
    name = "correlate same 7 by 2",
    op = "correlate",
    attributes = {mode = "same"},
    inputs = {
      {shape = {7}, data = {3,0,-7,9,-1,-2,-2}},
      {shape = {2}, data = {3,1}},
    },
    output = {shape = {7}, data = {3,9,-7,-12,26,-5,-8}},
  },
  {
    name = "convolve valid 7 by 2",
    op = "convolve",
    attributes = {mode = "valid"},
    inputs = {
      {shape = {7}, data = {3,0,-7,9,-1,-2,-2}},
      {shape = {2}, data = {3,1}},
    },
    output = {shape = {6}, data = {3,-21,20,6,-7,-8}},
  },
  {
    name = "correlate valid 7 by 2",
    op = "correlate",
    attributes = {mode = "valid"},
    inputs = {
      {shape = {7}, data = {3,0,-7,9,-1,-2,-2}},
      {shape = {2}, data = {3,1}},
    },
    output = {shape = {6}, data = {9,-7,-12,26,-5,-8}},
  },
  {
    name = "convolve full 5 by 1",
    op = "convolve",
    attributes = {mode = "full"},
    inputs = {{shape = {5}, data = {-8,7,5,-7,-1}}, {shape = {1}, data = {-4}}},
    output = {shape = {5}, data = {32,-28,-20,28,4}},
  },
  {
    name = "correlate full 5 by 1",
    op = "correlate",
    attributes = {mode = "full"},
    inputs = {{shape = {5}, data = {-8,7,5,-7,-1}}, {shape = {1}, data = {-4}}},
    output = {shape = {5}, data = {32,-28,-20,28,4}},
  },
  {
    name = "convolve same 5 by 1",
    op = "convolve",
    attributes = {mode = "same"},
    inputs = {{shape = {5}, data = {-8,7,5,-7,-1}}, {shape = {1}, data = {-4}}},
    output = {shape = {5}, data = {32,-28,-20,28,4}},
  },
  {
    name = "correlate same 5 by 1",
    op = "correlate",
    attributes = {mode = "same"},
    inputs = {{shape = {5}, data = {-8,7,5,-7,-1}}, {shape = {1}, data = {-4}}},
    output = {shape = {5}, data = {32,-28,-20,28,4}},
  },
  {
    name = "convolve valid 5 by 1",
    op = "convolve",
    attributes = {mode = "valid"},
    inputs = {{shape = {5}, data = {-8,7,5,-7,-1}}, {shape = {1}, data = {-4}}},
    output = {shape = {5}, data = {32,-28,-20,28,4}},
  },
  {
    name = "correlate valid 5 by 1",
    op = "correlate",
    attributes = {mode = "valid"},
    inputs = {{shape = {5}, data = {-8,7,5,-7,-1}}, {shape = {1}, data = {-4}}},
    output = {shape = {5}, data = {32,-28,-20,28,4}},
  },
  {
    name = "convolve full 4 by 4",
    op = "convolve",
    attributes = {mode = "full"},
    inputs = {
      {shape = {4}, data = {3,-3,3,4}},
      {shape = {4}, data = {-4,5,-3,4}},
    },
    output = {shape = {7}, data = {-12,27,-36,20,-1,0,16}},
  },
  {
    name = "correlate full 4 by 4",
    op = "correlate",
    attributes = {mode = "full"},
    inputs = {
      {shape = {4}, data = {3,-3,3,4}},
      {shape = {4}, data = {-4,5,-3,4}},
    },
    output = {shape = {7}, data = {12,-21,36,-20,15,8,-16}},
  },
  {
    name = "convolve same 4 by 4",
    op = "convolve",
    attributes = {mode = "same"},
    inputs = {
      {shape = {4}, data = {3,-3,3,4}},
      {shape = {4}, data = {-4,5,-3,4}},
    },
    output = {shape = {4}, data = {27,-36,20,-1}},
  },
  {
    name = "correlate same 4 by 4",
    op = "correlate",
    attributes = {mode = "same"},
    inputs = {
      {shape = {4}, data = {3,-3,3,4}},
      {shape = {4}, data = {-4,5,-3,4}},
    },
    output = {shape = {4}, data = {-21,36,-20,15}},
  },
  {
    name = "convolve valid 4 by 4",
    op = "convolve",
    attributes = {mode = "valid"},
    inputs = {
      {shape = {4}, data = {3,-3,3,4}},
      {shape = {4}, data = {-4,5,-3,4}},
    },
    output = {shape = {1}, data = {20}},
  },
  {
    name = "correlate valid 4 by 4",
    op = "correlate",
    attributes = {mode = "valid"},
    inputs = {
      {shape = {4}, data = {3,-3,3,4}},
      {shape = {4}, data = {-4,5,-3,4}},
    },
    output = {shape = {1}, data = {-20}},
  },
  {
    name = "convolve full 3 by 5",
    op = "convolve",
    attributes = {mode = "full"},
    inputs = {
      {shape = {3}, data = {9,2,-5}},
      {shape = {5}, data = {-6,-2,0,1,-8}},
    },
    output = {shape = {7}, data = {-54,-30,26,19,-70,-21,40}},
  },
  {
    name = "correlate full 3 by 5",
    op = "correlate",
    attributes = {mode = "full"},
    inputs = {
      {shape = {3}, data = {9,2,-5}},
      {shape = {5}, data = {-6,-2,0,1,-8}},
    },
    output = {shape = {7}, data = {-72,-7,42,-23,-58,-2,30}},
  },
  {
    name = "convolve same 3 by 5",
    op = "convolve",
    attributes = {mode = "same"},
    inputs = {
      {shape = {3}, data = {9,2,-5}},
      {shape = {5}, data = {-6,-2,0,1,-8}},
    },
    output = {shape = {5}, data = {-30,26,19,-70,-21}},
  },
  {
    name = "correlate same 3 by 5",
    op = "correlate",
    attributes = {mode = "same"},
    inputs = {
      {shape = {3}, data = {9,2,-5}},
      {shape = {5}, data = {-6,-2,0,1,-8}},
    },
    output = {shape = {5}, data = {-7,42,-23,-58,-2}},
  },
  {
    name = "convolve valid 3 by 5",
    op = "convolve",
    attributes = {mode = "valid"},
    inputs = {
      {shape = {3}, data = {9,2,-5}},
      {shape = {5}, data = {-6,-2,0,1,-8}},
    },
    output = {shape = {3}, data = {26,19,-70}},
  },
  {
    name = "correlate valid 3 by 5",
    op = "correlate",
    attributes = {mode = "valid"},
    inputs = {
      {shape = {3}, data = {9,2,-5}},
      {shape = {5}, data = {-6,-2,0,1,-8}},
    },
    output = {shape = {3}, data = {42,-23,-58}},
  },
  {
    name = "convolve2d full 3x3 by 2x2",
    op = "convolve2d",
    attributes = {mode = "full"},
    inputs = {
      {shape = {3,3}, data = {1,2,3,4,5,6,7,8,9}},
      {shape = {2,2}, data = {2,0,0,0}},
    },
    output = {shape = {4,4}, data = {2,4,6,0,8,10,12,0,14,16,18,0,0,0,0,0}},
  },
  {
    name = "correlate2d full 3x3 by 2x2",
    op = "correlate2d",
    attributes = {mode = "full"},
    inputs = {
      {shape = {3,3}, data = {1,2,3,4,5,6,7,8,9}},
      {shape = {2,2}, data = {2,0,0,0}},
    },
    output = {shape = {4,4}, data = {0,0,0,0,0,2,4,6,0,8,10,12,0,14,16,18}},
  },
  {
    name = "convolve2d same 3x3 by 2x2",
    op = "convolve2d",
    attributes = {mode = "same"},
    inputs = {
      {shape = {3,3}, data = {1,2,3,4,5,6,7,8,9}},
      {shape = {2,2}, data = {2,0,0,0}},
    },
    output = {shape = {3,3}, data = {2,4,6,8,10,12,14,16,18}},
  },
  {
    name = "correlate2d same 3x3 by 2x2",
    op = "correlate2d",
    attributes = {mode = "same"},
    inputs = {
      {shape = {3,3}, data = {1,2,3,4,5,6,7,8,9}},
      {shape = {2,2}, data = {2,0,0,0}},
    },
    output = {shape = {3,3}, data = {2,4,6,8,10,12,14,16,18}},
  },
  {
    name = "convolve2d valid 3x3 by 2x2",
    op = "convolve2d",
    attributes = {mode = "valid"},
    inputs = {
      {shape = {3,3}, data = {1,2,3,4,5,6,7,8,9}},
      {shape = {2,2}, data = {2,0,0,0}},
    },
    output = {shape = {2,2}, data = {10,12,16,18}},
  },
  {
    name = "correlate2d valid 3x3 by 2x2",
    op = "correlate2d",
    attributes = {mode = "valid"},
    inputs = {
      {shape = {3,3}, data = {1,2,3,4,5,6,7,8,9}},
      {shape = {2,2}, data = {2,0,0,0}},
    },
    output = {shape = {2,2}, data = {2,4,8,10}},
  },
  {
    name = "convolve2d full 5x5 by 3x3",
    op = "convolve2d",
    attributes = {mode = "full"},
    inputs = {
      {shape = {5,5}, data = {
        -3,-4,-5,8,1,2,2,8,-2,-2,0,5,-3,4,-1,-9,-8,0,3,-6,-5,4,-4,-4,-4,
      }},
      {shape = {3,3}, data = {-9,-8,3,-9,-2,-7,2,5,0}},
    },
    output = {shape = {7,7}, data = {
      27,60,68,-44,-88,16,3,9,8,-8,-74,68,-48,-13,-24,-90,-133,-18,-24,43,11,85,113,80,-80,38,21,-11,126,
      104,87,102,122,6,30,27,-87,23,22,75,6,28,-10,-17,12,-28,-28,-20,0,
    }},
  },
  {
    name = "correlate2d full 5x5 by 3x3",
    op = "correlate2d",
    attributes = {mode = "full"},
    inputs = {
      {shape = {5,5}, data = {
        -3,-4,-5,8,1,2,2,8,-2,-2,0,5,-3,4,-1,-9,-8,0,3,-6,-5,4,-4,-4,-4,
      }},
      {shape = {3,3}, data = {-9,-8,3,-9,-2,-7,2,5,0}},
    },
    output = {shape = {7,7}, data = {
      0,-15,-26,-33,30,21,2,21,44,84,34,28,-88,-13,-23,-6,-9,75,-56,-55,7,6,-90,-57,-171,-21,-24,15,63,64,
      58,30,0,-71,55,8,30,210,81,30,65,90,-15,52,1,-16,56,68,36,
    }},
  },
  {
    name = "convolve2d same 5x5 by 3x3",
    op = "convolve2d",
    attributes = {mode = "same"},
    inputs = {
      {shape = {5,5}, data = {
        -3,-4,-5,8,1,2,2,8,-2,-2,0,5,-3,4,-1,-9,-8,0,3,-6,-5,4,-4,-4,-4,
      }},
      {shape = {3,3}, data = {-9,-8,3,-9,-2,-7,2,5,0}},
    },
    output = {shape = {5,5}, data = {
      8,-8,-74,68,-48,-90,-133,-18,-24,43,113,80,-80,38,21,104,87,102,122,6,-87,23,22,75,6,
    }},
  },
  {
    name = "correlate2d same 5x5 by 3x3",
    op = "correlate2d",
    attributes = {mode = "same"},
    inputs = {
      {shape = {5,5}, data = {
        -3,-4,-5,8,1,2,2,8,-2,-2,0,5,-3,4,-1,-9,-8,0,3,-6,-5,4,-4,-4,-4,
      }},
      {shape = {3,3}, data = {-9,-8,3,-9,-2,-7,2,5,0}},
    },
    output = {shape = {5,5}, data = {
      44,84,34,28,-88,-6,-9,75,-56,-55,-90,-57,-171,-21,-24,64,58,30,0,-71,30,210,81,30,65,
    }},
  },
  {
    name = "convolve2d valid 5x5 by 3x3",
    op = "convolve2d",
    attributes = {mode = "valid"},
    inputs = {
      {shape = {5,5}, data = {
        -3,-4,-5,8,1,2,2,8,-2,-2,0,5,-3,4,-1,-9,-8,0,3,-6,-5,4,-4,-4,-4,
      }},
      {shape = {3,3}, data = {-9,-8,3,-9,-2,-7,2,5,0}},
    },
    output = {shape = {3,3}, data = {-133,-18,-24,80,-80,38,87,102,122}},
  },
  {
    name = "correlate2d valid 5x5 by 3x3",
    op = "correlate2d",
    attributes = {mode = "valid"},
    inputs = {
      {shape = {5,5}, data = {
        -3,-4,-5,8,1,2,2,8,-2,-2,0,5,-3,4,-1,-9,-8,0,3,-6,-5,4,-4,-4,-4,
      }},
      {shape = {3,3}, data = {-9,-8,3,-9,-2,-7,2,5,0}},
    },
    output = {shape = {3,3}, data = {-9,75,-56,-57,-171,-21,58,30,0}},
  },
  {
    name = "convolve2d full 4x6 by 2x3",
    op = "convolve2d",
    attributes = {mode = "full"},
    inputs = {
      {shape = {4,6}, data = {-2,9,2,-1,1,9,1,1,-1,3,8,-5,4,-3,0,-4,-9,4,7,-7,-4,0,-9,9}},
      {shape = {2,3}, data = {-2,2,-4,1,5,-2}},
    },
    output = {shape = {5,8}, data = {
      4,-22,22,-30,-12,-12,14,-36,-4,-1,51,-21,-14,30,1,2,-7,20,-20,16,35,19,3,-6,-10,45,-57,22,5,-69,92,
      -44,7,28,-53,-6,-1,-36,63,-18,
    }},
  },
  {
    name = "correlate2d full 4x6 by 2x3",
    op = "correlate2d",
    attributes = {mode = "full"},
    inputs = {
      {shape = {4,6}, data = {-2,9,2,-1,1,9,1,1,-1,3,8,-5,4,-3,0,-4,-9,4,7,-7,-4,0,-9,9}},
      {shape = {2,3}, data = {-2,2,-4,1,5,-2}},
    },
    output = {shape = {5,8}, data = {
      4,-28,39,21,-5,-14,46,9,6,-37,22,-20,-12,21,-1,-23,-12,24,-7,-11,-26,-27,-15,14,-30,69,-34,-5,42,-89,
      62,1,-28,42,-12,6,44,-54,36,-18,
    }},
  },
  {
    name = "convolve2d same 4x6 by 2x3",
    op = "convolve2d",
    attributes = {mode = "same"},
    inputs = {
      {shape = {4,6}, data = {-2,9,2,-1,1,9,1,1,-1,3,8,-5,4,-3,0,-4,-9,4,7,-7,-4,0,-9,9}},
      {shape = {2,3}, data = {-2,2,-4,1,5,-2}},
    },
    output = {shape = {4,6}, data = {
      -22,22,-30,-12,-12,14,-1,51,-21,-14,30,1,20,-20,16,35,19,3,45,-57,22,5,-69,92,
    }},
  },
  {
    name = "correlate2d same 4x6 by 2x3",
    op = "correlate2d",
    attributes = {mode = "same"},
    inputs = {
      {shape = {4,6}, data = {-2,9,2,-1,1,9,1,1,-1,3,8,-5,4,-3,0,-4,-9,4,7,-7,-4,0,-9,9}},
      {shape = {2,3}, data = {-2,2,-4,1,5,-2}},
    },
    output = {shape = {4,6}, data = {
      -37,22,-20,-12,21,-1,24,-7,-11,-26,-27,-15,69,-34,-5,42,-89,62,42,-12,6,44,-54,36,
    }},
  },
  {
    name = "convolve2d valid 4x6 by 2x3",
    op = "convolve2d",
    attributes = {mode = "valid"},
    inputs = {
      {shape = {4,6}, data = {-2,9,2,-1,1,9,1,1,-1,3,8,-5,4,-3,0,-4,-9,4,7,-7,-4,0,-9,9}},
      {shape = {2,3}, data = {-2,2,-4,1,5,-2}},
    },
    output = {shape = {3,4}, data = {51,-21,-14,30,-20,16,35,19,-57,22,5,-69}},
  },
  {
    name = "correlate2d valid 4x6 by 2x3",
    op = "correlate2d",
    attributes = {mode = "valid"},
    inputs = {
      {shape = {4,6}, data = {-2,9,2,-1,1,9,1,1,-1,3,8,-5,4,-3,0,-4,-9,4,7,-7,-4,0,-9,9}},
      {shape = {2,3}, data = {-2,2,-4,1,5,-2}},
    },
    output = {shape = {3,4}, data = {22,-20,-12,21,-7,-11,-26,-27,-34,-5,42,-89}},
  },
  {
    name = "convolve2d full 5x3 by 1x3",
    op = "convolve2d",
    attributes = {mode = "full"},
    inputs = {
      {shape = {5,3}, data = {-6,-1,5,-8,7,-7,8,9,-1,4,-3,-1,7,3,-7}},
      {shape = {1,3}, data = {-5,-7,5}},
    },
    output = {shape = {5,5}, data = {
      30,47,-48,-40,25,40,21,-54,84,-35,-40,-101,-18,52,-5,-20,-13,46,-8,-5,-35,-64,49,64,-35,
    }},
  },
  {
    name = "correlate2d full 5x3 by 1x3",
    op = "correlate2d",
    attributes = {mode = "full"},
    inputs = {
      {shape = {5,3}, data = {-6,-1,5,-8,7,-7,8,9,-1,4,-3,-1,7,3,-7}},
      {shape = {1,3}, data = {-5,-7,5}},
    },
    output = {shape = {5,5}, data = {
      -30,37,62,-30,-25,-40,91,-44,14,35,40,-11,-108,-38,5,20,-43,-4,22,5,35,-34,-91,34,35,
    }},
  },
  {
    name = "convolve2d same 5x3 by 1x3",
    op = "convolve2d",
    attributes = {mode = "same"},
    inputs = {
      {shape = {5,3}, data = {-6,-1,5,-8,7,-7,8,9,-1,4,-3,-1,7,3,-7}},
      {shape = {1,3}, data = {-5,-7,5}},
    },
    output = {shape = {5,3}, data = {47,-48,-40,21,-54,84,-101,-18,52,-13,46,-8,-64,49,64}},
  },
  {
    name = "correlate2d same 5x3 by 1x3",
    op = "correlate2d",
    attributes = {mode = "same"},
    inputs = {
      {shape = {5,3}, data = {-6,-1,5,-8,7,-7,8,9,-1,4,-3,-1,7,3,-7}},
      {shape = {1,3}, data = {-5,-7,5}},
    },
    output = {shape = {5,3}, data = {37,62,-30,91,-44,14,-11,-108,-38,-43,-4,22,-34,-91,34}},
  },
  {
    name = "convolve2d valid 5x3 by 1x3",
    op = "convolve2d",
    attributes = {mode = "valid"},
    inputs = {
      {shape = {5,3}, data = {-6,-1,5,-8,7,-7,8,9,-1,4,-3,-1,7,3,-7}},
      {shape = {1,3}, data = {-5,-7,5}},
    },
    output = {shape = {5,1}, data = {-48,-54,-18,46,49}},
  },
  {
    name = "correlate2d valid 5x3 by 1x3",
    op = "correlate2d",
    attributes = {mode = "valid"},
    inputs = {
      {shape = {5,3}, data = {-6,-1,5,-8,7,-7,8,9,-1,4,-3,-1,7,3,-7}},
      {shape = {1,3}, data = {-5,-7,5}},
    },
    output = {shape = {5,1}, data = {62,-44,-108,-4,-91}},
  },
  {
    name = "convolve2d full 4x4 by 4x4",
    op = "convolve2d",
    attributes = {mode = "full"},
    inputs = {
      {shape = {4,4}, data = {-4,1,-1,4,7,6,-2,6,1,9,-8,6,7,3,-3,2}},
      {shape = {4,4}, data = {1,-9,9,6,-5,-7,9,7,9,-5,-4,7,-1,3,9,9}},
    },
    output = {shape = {7,7}, data = {
      -4,37,-46,-2,-39,30,24,27,-34,-31,88,-66,71,64,-70,-50,-47,261,-99,23,106,69,-106,-89,267,-46,-13,132,
      -33,27,19,257,99,-47,110,62,-14,-26,130,50,-47,68,-7,18,75,79,6,-9,18,
    }},
  },
  {
    name = "correlate2d full 4x4 by 4x4",
    op = "correlate2d",
    attributes = {mode = "full"},
    inputs = {
      {shape = {4,4}, data = {-4,1,-1,4,7,6,-2,6,1,9,-8,6,7,3,-3,2}},
      {shape = {4,4}, data = {1,-9,9,6,-5,-7,9,7,9,-5,-4,7,-1,3,9,9}},
    },
    output = {shape = {7,7}, data = {
      -36,-27,-12,34,32,13,-4,35,140,66,38,40,-9,30,30,75,-31,123,99,-45,28,95,224,-46,-20,187,-162,26,98,
      164,-71,-53,177,-95,-6,55,147,-19,-185,159,-61,-4,42,81,-54,-35,48,-21,2,
    }},
  },
  {
    name = "convolve2d same 4x4 by 4x4",
    op = "convolve2d",
    attributes = {mode = "same"},
    inputs = {
      {shape = {4,4}, data = {-4,1,-1,4,7,6,-2,6,1,9,-8,6,7,3,-3,2}},
      {shape = {4,4}, data = {1,-9,9,6,-5,-7,9,7,9,-5,-4,7,-1,3,9,9}},
    },
    output = {shape = {4,4}, data = {
      -34,-31,88,-66,-50,-47,261,-99,-106,-89,267,-46,27,19,257,99,
    }},
  },
  {
    name = "correlate2d same 4x4 by 4x4",
    op = "correlate2d",
    attributes = {mode = "same"},
    inputs = {
      {shape = {4,4}, data = {-4,1,-1,4,7,6,-2,6,1,9,-8,6,7,3,-3,2}},
      {shape = {4,4}, data = {1,-9,9,6,-5,-7,9,7,9,-5,-4,7,-1,3,9,9}},
    },
    output = {shape = {4,4}, data = {
      -31,123,99,-45,-46,-20,187,-162,-71,-53,177,-95,-19,-185,159,-61,
    }},
  },
  {
    name = "convolve2d valid 4x4 by 4x4",
    op = "convolve2d",
    attributes = {mode = "valid"},
    inputs = {
      {shape = {4,4}, data = {-4,1,-1,4,7,6,-2,6,1,9,-8,6,7,3,-3,2}},
      {shape = {4,4}, data = {1,-9,9,6,-5,-7,9,7,9,-5,-4,7,-1,3,9,9}},
    },
    output = {shape = {1,1}, data = {267}},
  },
  {
    name = "correlate2d valid 4x4 by 4x4",
    op = "correlate2d",
    attributes = {mode = "valid"},
    inputs = {
      {shape = {4,4}, data = {-4,1,-1,4,7,6,-2,6,1,9,-8,6,7,3,-3,2}},
      {shape = {4,4}, data = {1,-9,9,6,-5,-7,9,7,9,-5,-4,7,-1,3,9,9}},
    },
    output = {shape = {1,1}, data = {-20}},
  },
  {
    name = "convolve2d full 3x3 by 1x1",
    op = "convolve2d",
    attributes = {mode = "full"},
    inputs = {
      {shape = {3,3}, data = {-1,-8,-8,-3,0,-3,3,1,6}},
      {shape = {1,1}, data = {5}},
    },
    output = {shape = {3,3}, data = {-5,-40,-40,-15,0,-15,15,5,30}},
  },
  {
    name = "correlate2d full 3x3 by 1x1",
    op = "correlate2d",
    attributes = {mode = "full"},
    inputs = {
      {shape = {3,3}, data = {-1,-8,-8,-3,0,-3,3,1,6}},
      {shape = {1,1}, data = {5}},
    },
    output = {shape = {3,3}, data = {-5,-40,-40,-15,0,-15,15,5,30}},
  },
  {
    name = "convolve2d same 3x3 by 1x1",
    op = "convolve2d",
    attributes = {mode = "same"},
    inputs = {
      {shape = {3,3}, data = {-1,-8,-8,-3,0,-3,3,1,6}},
      {shape = {1,1}, data = {5}},
    },
    output = {shape = {3,3}, data = {-5,-40,-40,-15,0,-15,15,5,30}},
  },
  {
    name = "correlate2d same 3x3 by 1x1",
    op = "correlate2d",
    attributes = {mode = "same"},
    inputs = {
      {shape = {3,3}, data = {-1,-8,-8,-3,0,-3,3,1,6}},
      {shape = {1,1}, data = {5}},
    },
    output = {shape = {3,3}, data = {-5,-40,-40,-15,0,-15,15,5,30}},
  },
  {
    name = "convolve2d valid 3x3 by 1x1",
    op = "convolve2d",
    attributes = {mode = "valid"},
    inputs = {
      {shape = {3,3}, data = {-1,-8,-8,-3,0,-3,3,1,6}},
      {shape = {1,1}, data = {5}},
    },
    output = {shape = {3,3}, data = {-5,-40,-40,-15,0,-15,15,5,30}},
  },
  {
    name = "correlate2d valid 3x3 by 1x1",
    op = "correlate2d",
    attributes = {mode = "valid"},
    inputs = {
      {shape = {3,3}, data = {-1,-8,-8,-3,0,-3,3,1,6}},
      {shape = {1,1}, data = {5}},
    },
    output = {shape = {3,3}, data = {-5,-40,-40,-15,0,-15,15,5,30}},
  },
  {
    name = "convolve2d full 5x4 by 2x2",
    op = "convolve2d",
    attributes = {mode = "full"},
    inputs = {
      {shape = {5,4}, data = {6,-7,5,-9,-8,7,-9,-8,-1,-1,5,-1,-6,3,-3,1,-4,0,0,0}},
      {shape = {2,2}, data = {-7,-3,-7,-4}},
    },
    output = {shape = {6,5}, data = {
      -42,31,-14,48,27,14,0,35,126,60,63,-7,3,84,35,49,8,-19,-11,1,70,15,9,5,-4,28,16,0,0,0,
    }},
  },
  {
    name = "correlate2d full 5x4 by 2x2",
    op = "correlate2d",
    attributes = {mode = "full"},
    inputs = {
      {shape = {5,4}, data = {6,-7,5,-9,-8,7,-9,-8,-1,-1,5,-1,-6,3,-3,1,-4,0,0,0}},
      {shape = {2,2}, data = {-7,-3,-7,-4}},
    },
    output = {shape = {6,5}, data = {
      -24,-14,29,1,63,14,7,21,87,119,28,46,-35,56,63,27,40,-17,-15,0,34,61,-12,18,-7,12,28,0,0,0,
    }},
  },
  {
    name = "convolve2d same 5x4 by 2x2",
    op = "convolve2d",
    attributes = {mode = "same"},
    inputs = {
      {shape = {5,4}, data = {6,-7,5,-9,-8,7,-9,-8,-1,-1,5,-1,-6,3,-3,1,-4,0,0,0}},
      {shape = {2,2}, data = {-7,-3,-7,-4}},
    },
    output = {shape = {5,4}, data = {-42,31,-14,48,14,0,35,126,63,-7,3,84,49,8,-19,-11,70,15,9,5}},
  },
  {
    name = "correlate2d same 5x4 by 2x2",
    op = "correlate2d",
    attributes = {mode = "same"},
    inputs = {
      {shape = {5,4}, data = {6,-7,5,-9,-8,7,-9,-8,-1,-1,5,-1,-6,3,-3,1,-4,0,0,0}},
      {shape = {2,2}, data = {-7,-3,-7,-4}},
    },
    output = {shape = {5,4}, data = {7,21,87,119,46,-35,56,63,40,-17,-15,0,61,-12,18,-7,28,0,0,0}},
  },
  {
    name = "convolve2d valid 5x4 by 2x2",
    op = "convolve2d",
    attributes = {mode = "valid"},
    inputs = {
      {shape = {5,4}, data = {6,-7,5,-9,-8,7,-9,-8,-1,-1,5,-1,-6,3,-3,1,-4,0,0,0}},
      {shape = {2,2}, data = {-7,-3,-7,-4}},
    },
    output = {shape = {4,3}, data = {0,35,126,-7,3,84,8,-19,-11,15,9,5}},
  },
  {
    name = "correlate2d valid 5x4 by 2x2",
    op = "correlate2d",
    attributes = {mode = "valid"},
    inputs = {
      {shape = {5,4}, data = {6,-7,5,-9,-8,7,-9,-8,-1,-1,5,-1,-6,3,-3,1,-4,0,0,0}},
      {shape = {2,2}, data = {-7,-3,-7,-4}},
    },
    output = {shape = {4,3}, data = {7,21,87,46,-35,56,40,-17,-15,61,-12,18}},
  },
}
