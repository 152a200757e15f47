/* Differentiable ops on the Lua stack. Plain functions of tensors take the direct way through the tensor library, which
 * costs nothing more, unless their argument is traced: symbolic, or followed by an open gradient tape. */
#ifndef LUA_OP_H
#define LUA_OP_H

#include "lua_cnn.h"
#include "ops/op.h"

/* True if the value at index is a tensor of which results must be made by ops. */
bool lcnn_traced(lua_State *L, int index);

/* Puts a float32 tensor in the place of the one at the absolute index. */
void lcnn_to_float(lua_State *L, int index);

/* Applies an op to the tensors at these absolute indices, which become float32 where the op wants them so, and pushes
 * the result. attributes: the op's struct; NULL: the defaults. */
int lcnn_apply_op(lua_State *L, const cnn_op *op, const void *attributes, const int *inputs, int count);
/* The same for one and two inputs. */
int lcnn_apply_1(lua_State *L, const cnn_op *op, const void *attributes, int a);
int lcnn_apply_2(lua_State *L, const cnn_op *op, const void *attributes, int a, int b);

/* The tensor at index under another shape; one size may be -1. Shares memory. */
int lcnn_apply_reshape(lua_State *L, int index, int rank, const int64_t *sizes);

/* The result on the top was made from the tensor at index by something without a derivative: asking a tape for a
 * gradient through it is an error that names who. Returns 1. */
int lcnn_no_gradient(lua_State *L, const char *who, int index);

/* lcnn_args, and understands f(a, b, {name = c}) too. */
void lcnn_args_mixed(lua_State *L, int first, const char *who, const char *const *names);

/* In the registry: names of variables by tensor. */
#define LCNN_VARIABLE_NAMES "cnn.variable names"

#endif
