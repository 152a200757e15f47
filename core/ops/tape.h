/* The gradient tape: what eager ops did, written down while a tape is open, and run backwards on demand. */
#ifndef CNN_OPS_TAPE_H
#define CNN_OPS_TAPE_H

#include "ops/op.h"

/* True if an open tape of this thread follows one of these tensors: then what is made of them must be recorded. */
bool cnn_tape_follows(cnn_tensor *const *inputs, int n_inputs);

/* An op that is being applied: kept by every open tape that follows one of its inputs. saved is handed over (NULL if
 * there is none); it is freed when no tape keeps it. */
cnn_status cnn_tape_record(const cnn_op *op, const void *attributes, const cnn_op_info *info,
                           cnn_tensor *const *inputs, int n_inputs, cnn_tensor *output, void *saved,
                           bool training, uint64_t step);

/* Something without a derivative that made output of input: to ask for a gradient through it is an error that names
 * it. */
cnn_status cnn_tape_block(const char *name, cnn_tensor *input, cnn_tensor *output);

#endif
