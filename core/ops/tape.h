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

/* Something without a derivative, called name, made output of input: to ask for a gradient through it is an error that
 * names it. If the input was itself made so, the error names what made that. */
cnn_status cnn_tape_block(const char *name, cnn_tensor *input, cnn_tensor *output);

/* True if an open tape follows the tensor for another reason than that it is a variable: it is watched, or what an op
 * made. To write into it would falsify what was recorded. */
bool cnn_tape_made(const cnn_tensor *tensor);

/* To be called after writing to a tensor in place: gradients that would need its former elements are refused. */
void cnn_tape_written(cnn_tensor *tensor);

/* A stopped tape goes on recording, unless it is spent. */
void cnn_tape_resume(cnn_tape *tape);
/* Forgets all, what is watched too, and begins anew. */
void cnn_tape_reset(cnn_tape *tape);

#endif
