/* cnn.nn: ops as functions, with TensorFlow's names and order of arguments; and what lua_op.h promises. The functions that
 * are compositions are in prelude/nn.lua. */
#include "lua_op.h"
#include "ops/activation.h"
#include "ops/arith.h"
#include "ops/conv_kinds.h"
#include "ops/dense.h"
#include "ops/dropout.h"
#include "ops/loss.h"
#include "ops/pool.h"
#include "ops/shape.h"
#include "ops/softmax.h"
#include "ops/tape.h"
#include "base/status.h"

#include <string.h>

/* ---- ops on the stack ------------------------------------------------------------------------------------ */

bool lcnn_traced(lua_State *L, int index) {
    cnn_tensor *tensor = lcnn_test_tensor(L, index);
    return tensor && (!tensor->data || cnn_tape_follows(&tensor, 1));
}

int lcnn_no_gradient(lua_State *L, const char *who, int index) {
    lcnn_check(L, cnn_tape_block(who, lcnn_check_tensor(L, index), lcnn_check_tensor(L, -1)));
    return 1;
}

void lcnn_to_float(lua_State *L, int index) {
    cnn_tensor *tensor = lcnn_check_tensor(L, index), *cast = NULL;
    if (tensor->dtype == CNN_FLOAT32) return;
    if (tensor->data)
        lcnn_check(L, cnn_cast(&cast, tensor, CNN_FLOAT32));
    else
        lcnn_check(L, cnn_op_apply(&cast, &cnn_op_cast, NULL, &tensor, 1, false));
    lcnn_push_tensor(L, cast);
    if (lcnn_traced(L, index)) lcnn_no_gradient(L, "astype", index);
    lua_replace(L, index);
}

static bool takes_as_is(const cnn_op *op, int input) {
    return input < 32 && ((op->constant | op->any_dtype) >> input & 1);
}

/* What an op makes of whole numbers that a tape follows, without recording how, is as they are without a gradient. */
static void carry_blocks(lua_State *L, const cnn_op *op, const int *inputs, int count) {
    for (int i = 0; i < count; i++) {
        const cnn_tensor *input = lcnn_check_tensor(L, inputs[i]);
        bool constant = i < 32 && (op->constant >> i & 1);
        if (input->data && input->dtype != CNN_FLOAT32 && !constant && lcnn_traced(L, inputs[i]))
            lcnn_no_gradient(L, op->class.name, inputs[i]);
    }
}

/* The step that all applications of ops share. */
static int apply(lua_State *L, const cnn_op *op, const void *attributes, const int *inputs, int count,
                 bool training) {
    cnn_tensor *tensors[CNN_MAX_INPUTS] = {NULL}, *out = NULL;
    for (int i = 0; i < count; i++)
        if (!takes_as_is(op, i)) lcnn_to_float(L, inputs[i]);
    for (int i = 0; i < count; i++) tensors[i] = lcnn_check_tensor(L, inputs[i]);
    lcnn_push_result(L, cnn_op_apply(&out, op, attributes, tensors, count, training), &out);
    carry_blocks(L, op, inputs, count);
    return 1;
}

int lcnn_apply_op(lua_State *L, const cnn_op *op, const void *attributes, const int *inputs, int count) {
    return apply(L, op, attributes, inputs, count, false);
}

int lcnn_apply_1(lua_State *L, const cnn_op *op, const void *attributes, int a) {
    return apply(L, op, attributes, &a, 1, false);
}

int lcnn_apply_2(lua_State *L, const cnn_op *op, const void *attributes, int a, int b) {
    const int inputs[] = {a, b};
    return apply(L, op, attributes, inputs, 2, false);
}

int lcnn_apply_reshape(lua_State *L, int index, int rank, const int64_t *sizes) {
    cnn_tensor *out = NULL;
    if (!lcnn_traced(L, index))
        return lcnn_push_result(L, cnn_reshape(&out, lcnn_check_tensor(L, index), rank, sizes), &out);
    cnn_reshape_op attributes = {.class = &cnn_op_reshape.class, .target_shape.rank = rank};
    memcpy(attributes.target_shape.sizes, sizes, (size_t)rank * sizeof *sizes);
    return lcnn_apply_1(L, &cnn_op_reshape, &attributes, index);
}

/* ---- arguments ------------------------------------------------------------------------------------------- */

/* A plain table with names and nothing else. */
static bool is_options(lua_State *L, int index) {
    if (lua_type(L, index) != LUA_TTABLE || lua_rawlen(L, index) > 0) return false;
    if (lua_getmetatable(L, index)) {
        lua_pop(L, 1);
        return false;
    }
    lua_pushnil(L);
    if (!lua_next(L, index)) return false;
    lua_pop(L, 2);
    return true;
}

/* f{t, name = c}: the first argument is a tensor, and no list. */
static bool begins_with_tensor(lua_State *L, int index) {
    if (lua_type(L, index) != LUA_TTABLE) return false;
    lua_rawgeti(L, index, 1);
    bool tensor = luaL_testudata(L, -1, LCNN_TENSOR) != NULL;
    lua_pop(L, 1);
    return tensor;
}

void lcnn_args_mixed(lua_State *L, int first, const char *who, const char *const *names) {
    enum { MOST = 16 };
    int top = lua_gettop(L);
    const char *plain[MOST + 1] = {NULL};
    for (int i = 0; names[i] && i < MOST; i++) plain[i] = names[i] + (names[i][0] == '*');
    if (top == first && begins_with_tensor(L, first)) names = plain;
    if (top > first && is_options(L, top)) { /* f(a, b, {name = c}) is f{a, b, name = c} */
        lua_newtable(L);
        for (lua_pushnil(L); lua_next(L, top);) {
            lua_pushvalue(L, -2);
            lua_insert(L, -2);
            lua_rawset(L, top + 1);
        }
        for (int i = first; i < top; i++) {
            lua_pushvalue(L, i);
            lua_rawseti(L, top + 1, i - first + 1);
        }
        lua_replace(L, first);
        lua_settop(L, first);
        names = plain;
    }
    lcnn_args(L, first, who, names);
}

/* For the Lua half: args(who, names, …) gives the values of the names, in order. */
static int spread_args(lua_State *L) {
    const char *who = luaL_checkstring(L, 1);
    luaL_checktype(L, 2, LUA_TTABLE);
    int count = (int)lua_rawlen(L, 2);
    const char **names = lua_newuserdatauv(L, ((size_t)count + 1) * sizeof *names, 0);
    lua_insert(L, 3);
    for (int i = 0; i < count; i++) {
        lua_rawgeti(L, 2, i + 1);
        names[i] = lua_tostring(L, -1); /* the table keeps it */
        lua_pop(L, 1);
    }
    names[count] = NULL;
    lcnn_args_mixed(L, 4, who, names);
    return count;
}

/* ---- the functions --------------------------------------------------------------------------------------- */

enum { MOST_NAMES = 8 };

/* One function: its arguments in TensorFlow's order, of which the first `tensors` are inputs of the op; the others go to
 * the op's arguments of the same position in `attributes`. */
typedef struct nn_function {
    const char *name;
    const cnn_op *op;
    int tensors;
    bool training; /* applied as in training: dropout */
    const char *arguments[MOST_NAMES], *attributes[MOST_NAMES];
} nn_function;

/*** Each element, or 0 where it is negative: max(x, 0).

All of cnn.nn are TensorFlow's functions of the same names; gradient tapes and models follow them. Arguments come in
order, with the last ones by name in a table if you like: cnn.nn.conv2d(x, w, {padding = "same"}). Nested tables of
several rows are to be made tensors first (cnn.tensor).
@function cnn.nn.relu
@tparam tensor features
@treturn tensor float32, in the shape of features
@usage
cnn.nn.relu{-1, 0, 2}:tolist()     --> {0.0, 0.0, 2.0}
*/

/*** Each element kept between 0 and 6: min(max(x, 0), 6).
@function cnn.nn.relu6
@tparam tensor features
@treturn tensor float32, in the shape of features
@usage
cnn.nn.relu6{-1, 3, 8}:tolist()    --> {0.0, 3.0, 6.0}
*/

/*** Each element, times alpha where it is negative.
@function cnn.nn.leaky_relu
@tparam tensor features
@tparam[opt=0.2] number alpha the slope below 0
@treturn tensor float32, in the shape of features
@usage
cnn.nn.leaky_relu({-1, 2}, 0.5):tolist()                 --> {-0.5, 2.0}
cnn.nn.leaky_relu{-1, 2}           -- TensorFlow's default; that of layers.LeakyReLU is Keras's
--> float32 (2,)
--> [-0.2  2. ]
*/

/*** Each element, where it is negative alpha·(e^x - 1): the exponential linear unit (Clevert et al. 2016).
@function cnn.nn.elu
@tparam tensor features
@tparam[opt=1] number alpha minus the limit far below 0
@treturn tensor float32, in the shape of features
@usage
cnn.nn.elu{-1, 2}
--> float32 (2,)
--> [-0.63212...
*/

/*** The scaled exponential linear unit: scale·elu(x, alpha) with the constants of Klambauer et al. 2017. scale is
1.0507…, alpha 1.6732…
@function cnn.nn.selu
@tparam tensor features
@treturn tensor float32, in the shape of features
@usage
cnn.nn.selu{-1, 0, 1}
--> float32 (3,)
--> [-1.1113...
*/

/*** The logistic function of each element: 1 / (1 + e^-x), between 0 and 1.
@function cnn.nn.sigmoid
@tparam tensor x
@treturn tensor float32, in the shape of x
@usage
cnn.nn.sigmoid{0, 100}:tolist()    --> {0.5, 1.0}
*/

/*** The hyperbolic tangent of each element, between -1 and 1.
@function cnn.nn.tanh
@tparam tensor x
@treturn tensor float32, in the shape of x
@usage
cnn.nn.tanh{0, 100}:tolist()       --> {0.0, 1.0}
*/

/*** log(1 + e^x) of each element: relu with a rounded corner.
@function cnn.nn.softplus
@tparam tensor features
@treturn tensor float32, in the shape of features
@usage
cnn.nn.softplus{0, 100}
--> float32 (2,)
--> [  0.69314...
*/

/*** x / (1 + |x|) of each element, between -1 and 1.
@function cnn.nn.softsign
@tparam tensor features
@treturn tensor float32, in the shape of features
@usage
cnn.nn.softsign{-1, 1, 3}:tolist() --> {-0.5, 0.5, 0.75}
*/

/*** x·sigmoid(x) of each element (Elfwing et al. 2018).
@function cnn.nn.silu
@tparam tensor features
@treturn tensor float32, in the shape of features
@usage
cnn.nn.silu{-1, 0, 1}
--> float32 (3,)
--> [-0.26894...
*/

/*** x·sigmoid(x) of each element, by its other name: cnn.nn.silu.
@function cnn.nn.swish
@tparam tensor features
@treturn tensor float32, in the shape of features
@usage
cnn.allclose(cnn.nn.swish{-1, 1}, cnn.nn.silu{-1, 1})    --> true
*/

/*** The Gaussian error linear unit of each element: x·Φ(x), where Φ(x) is the share of normally distributed numbers
below x.
@function cnn.nn.gelu
@tparam tensor features
@tparam[opt=false] bool approximate by tanh, as in Hendrycks and Gimpel 2016
@treturn tensor float32, in the shape of features
@usage
cnn.nn.gelu{-1, 0, 1}
--> float32 (3,)
--> [-0.15865...
cnn.nn.gelu({-1, 0, 1}, {approximate = true})
--> float32 (3,)
--> [-0.15880...
*/

/*** Numbers as probabilities: e^x divided by the sum of e^x along an axis.
@function cnn.nn.softmax
@tparam tensor logits at least one axis
@tparam[opt=-1] int axis the axis of the classes, along which the results add up to 1
@treturn tensor float32, in the shape of logits
@usage
p = cnn.nn.softmax(cnn.tensor{{1, 2, 3}, {5, 5, 5}})
p:argmax(2):tolist()               --> {3, 1}
cnn.allclose(p:sum(2), {1, 1})     --> true
cnn.nn.softmax{1000, 1000}:tolist()                      --> {0.5, 0.5}
*/

/*** The logarithm of softmax, without its loss of digits where probabilities are small.
@function cnn.nn.log_softmax
@tparam tensor logits
@tparam[opt=-1] int axis the axis of the classes
@treturn tensor float32, in the shape of logits
@usage
cnn.nn.log_softmax{0, 1000}:tolist()                     --> {-1000.0, 0.0}
*/

/*** Slides filters over pictures: each result is the sum of products of a filter and the picture beneath it, over all
channels. As in all frameworks of neural networks the filters are not flipped (cnn.signal.correlate2d). With padding
"valid" the filter stays within the picture, and a side has (size - filter) / stride + 1 results, rounded down; with
"same" there are zeros around it, the odd one at the end, and size / stride results, rounded up.
@function cnn.nn.conv2d
@tparam tensor input [N, height, width, channels]
@tparam tensor filters [rows, columns, channels / groups, outputs]
@tparam[opt=1] int|{int,...} strides the step, or {rows, columns}; TensorFlow's {1, rows, columns, 1} too
@tparam[opt="valid"] "valid"|"same" padding in large letters too
@tparam[opt=1] int|{int,...} dilations distance of the filter's cells
@tparam[opt=1] int groups channels and outputs are cut into so many parts, each for itself
@treturn tensor float32 [N, new height, new width, outputs]
@raise shapes that do not fit; a filter larger than the picture ("valid")
@usage
x = cnn.arange(9):reshape{1, 3, 3, 1}
w = cnn.tensor{{1, 0}, {0, -1}}:reshape{2, 2, 1, 1}
cnn.nn.conv2d(x, w):squeeze()
--> float32 (2, 2)
--> [[-4. -4.]
-->  [-4. -4.]]
cnn.nn.conv2d(x, w, {strides = 2, padding = "same"}):shape()             --> {1, 2, 2, 1}
cnn.nn.conv2d(x, cnn.ones{5, 5, 1, 1})
--> error: conv2d: a 5×5 window does not fit an input of shape (1, 3, 3, 1)
*/

/*** Slides filters over pictures, channel by channel: no result depends on more than one channel.
@function cnn.nn.depthwise_conv2d
@tparam tensor input [N, height, width, channels]
@tparam tensor filter [rows, columns, channels, multiplier]
@tparam[opt=1] int|{int,...} strides as of cnn.nn.conv2d
@tparam[opt="valid"] "valid"|"same" padding
@tparam[opt=1] int|{int,...} dilations distance of the filter's cells
@treturn tensor float32 [N, new height, new width, channels·multiplier]: the multiplier results of the first channel,
then those of the second, …
@usage
x = cnn.ones{1, 4, 4, 2}
cnn.nn.depthwise_conv2d(x, cnn.ones{3, 3, 2, 1}):shape() --> {1, 2, 2, 2}
cnn.nn.depthwise_conv2d(x, cnn.ones{3, 3, 2, 3}):shape() --> {1, 2, 2, 6}
*/

/*** The greatest element in each window of pictures.
@function cnn.nn.max_pool2d
@tparam tensor input [N, height, width, channels]
@tparam[opt=2] int|{int,...} ksize the window's side, or {rows, columns}; TensorFlow's {1, rows, columns, 1} too
@tparam[opt] int|{int,...} strides default: the window's sides, so that windows lie side by side
@tparam[opt="valid"] "valid"|"same" padding as of cnn.nn.conv2d
@treturn tensor float32 [N, new height, new width, channels]
@usage
x = cnn.arange(16):reshape{1, 4, 4, 1}
cnn.nn.max_pool2d(x, 2):squeeze()
--> float32 (2, 2)
--> [[ 5.  7.]
-->  [13. 15.]]
cnn.nn.max_pool2d(x, 3, {strides = 1}):shape()           --> {1, 2, 2, 1}
*/

/*** The mean of each window of pictures; of a window over the edge, of what lies within.
@function cnn.nn.avg_pool2d
@tparam tensor input [N, height, width, channels]
@tparam[opt=2] int|{int,...} ksize the window's side, or {rows, columns}
@tparam[opt] int|{int,...} strides default: the window's sides
@tparam[opt="valid"] "valid"|"same" padding as of cnn.nn.conv2d
@treturn tensor float32 [N, new height, new width, channels]
@usage
x = cnn.arange(16):reshape{1, 4, 4, 1}
cnn.nn.avg_pool2d(x, 2):squeeze()
--> float32 (2, 2)
--> [[ 2.5  4.5]
-->  [10.5 12.5]]
*/

/*** Adds a number to each channel.
@function cnn.nn.bias_add
@tparam tensor value [N, …, channels]: at least two axes
@tparam tensor bias [channels]
@treturn tensor float32, in the shape of value
@usage
cnn.nn.bias_add({{1, 2}, {3, 4}}, {10, 20})
--> float32 (2, 2)
--> [[11. 22.]
-->  [13. 24.]]
*/

/*** Sets elements to 0 at random, and scales the others by 1 / (1 - rate), so that the sum stays on average. It does
so always; layers.Dropout does in training only. Which elements go changes from call to call and follows from
cnn.set_seed.
@function cnn.nn.dropout
@tparam tensor x
@tparam number rate the share of elements set to 0, from 0 to 1
@tparam[opt=0] int seed functions with different seeds choose differently
@treturn tensor float32, in the shape of x
@usage
cnn.set_seed(1)
cnn.nn.dropout(cnn.ones{8}, 0.5)
--> float32 (8,)
--> [2. 0. 2. 2. 2. 2. 2. 0.]
*/

/*** The same elements, which gradient tapes take for constants.
@function cnn.nn.stop_gradient
@tparam tensor input
@treturn tensor float32
@usage
x = cnn.Variable(3)
tape = cnn.GradientTape()
y = x * cnn.nn.stop_gradient(x)    -- as 3·x
tape:gradient(y, x):item()         --> 3.0
*/

/*** The same elements, which gradient tapes take for constants: cnn.nn.stop_gradient.
@function cnn.stop_gradient
@tparam tensor input
@treturn tensor float32
@usage
cnn.stop_gradient{1, 2}:tolist()   --> {1.0, 2.0}
*/

static const nn_function functions[] = {
    {"relu", &cnn_op_relu, 1, false, {"*features"}, {0}},
    {"relu6", &cnn_op_relu6, 1, false, {"*features"}, {0}},
    {"leaky_relu", &cnn_op_leaky_relu, 1, false, {"*features", "alpha"}, {"negative_slope"}},
    {"elu", &cnn_op_elu, 1, false, {"*features", "alpha"}, {"alpha"}},
    {"selu", &cnn_op_selu, 1, false, {"*features"}, {0}},
    {"sigmoid", &cnn_op_sigmoid, 1, false, {"*x"}, {0}},
    {"tanh", &cnn_op_tanh, 1, false, {"*x"}, {0}},
    {"softplus", &cnn_op_softplus, 1, false, {"*features"}, {0}},
    {"softsign", &cnn_op_softsign, 1, false, {"*features"}, {0}},
    {"silu", &cnn_op_silu, 1, false, {"*features"}, {0}},
    {"swish", &cnn_op_silu, 1, false, {"*features"}, {0}},
    {"gelu", &cnn_op_gelu, 1, false, {"*features", "approximate"}, {"approximate"}},
    {"softmax", &cnn_op_softmax, 1, false, {"*logits", "axis"}, {"axis"}},
    {"log_softmax", &cnn_op_log_softmax, 1, false, {"*logits", "axis"}, {"axis"}},
    {"conv2d",
     &cnn_op_conv2d,
     2,
     false,
     {"input", "filters", "strides", "padding", "dilations", "groups"},
     {"strides", "padding", "dilation_rate", "groups"}},
    {"depthwise_conv2d",
     &cnn_op_depthwise_conv2d,
     2,
     false,
     {"input", "filter", "strides", "padding", "dilations"},
     {"strides", "padding", "dilation_rate"}},
    {"max_pool2d",
     &cnn_op_max_pool2d,
     1,
     false,
     {"input", "ksize", "strides", "padding"},
     {"pool_size", "strides", "padding"}},
    {"avg_pool2d",
     &cnn_op_avg_pool2d,
     1,
     false,
     {"input", "ksize", "strides", "padding"},
     {"pool_size", "strides", "padding"}},
    {"bias_add", &cnn_op_bias_add, 2, false, {"value", "bias"}, {0}},
    {"dropout", &cnn_op_dropout, 1, true, {"x", "rate", "seed"}, {"rate", "seed"}},
    {"stop_gradient", &cnn_op_stop_gradient, 1, false, {"*input"}, {0}},
    {NULL, NULL, 0, false, {0}, {0}}};

/* Windows may come as TensorFlow's four numbers, {1, rows, columns, 1}; axes count from 1 in Lua. */
static void adapt(lua_State *L, const nn_function *f, const char *argument) {
    int value = lua_gettop(L);
    if (f->op == &cnn_op_leaky_relu && lua_isnil(L, value)) { /* Keras's layer has another default */
        lua_pushnumber(L, 0.2);
        lua_replace(L, value);
    }
    if (strcmp(argument, "axis") == 0 && lua_isinteger(L, value)) {
        int rank = lcnn_check_tensor(L, 2)->rank;
        lua_pushinteger(L, lcnn_check_axis(L, lua_tointeger(L, value), rank, f->name));
        lua_replace(L, value);
    }
    if (lua_type(L, value) != LUA_TTABLE || lua_rawlen(L, value) != 4) return;
    lua_rawgeti(L, value, 1);
    lua_rawgeti(L, value, 4);
    if (lua_tonumber(L, -1) != 1 || lua_tonumber(L, -2) != 1)
        lcnn_fail(L, "%s: '%s' must be 1 for samples and channels", f->name, argument);
    lua_createtable(L, 2, 0);
    for (int i = 1; i <= 2; i++) {
        lua_rawgeti(L, value, i + 1);
        lua_rawseti(L, -2, i);
    }
    lua_replace(L, value);
    lua_settop(L, value);
}

static int free_object(lua_State *L) {
    void **box = lua_touserdata(L, 1);
    cnn_object_free(*box);
    *box = NULL;
    return 0;
}

#define OBJECT "cnn.object"

/* The op's arguments, from those on the stack, as an object that a box on the top owns. */
static void *push_attributes(lua_State *L, const nn_function *f) {
    void **box = lua_newuserdatauv(L, sizeof *box, 0);
    *box = NULL;
    luaL_setmetatable(L, OBJECT);
    lua_newtable(L);
    int table = lua_gettop(L);
    for (int i = 0; f->attributes[i]; i++) {
        lua_pushvalue(L, 2 + f->tensors + i);
        adapt(L, f, f->arguments[f->tensors + i]);
        lua_setfield(L, table, f->attributes[i]);
    }
    const cJSON *config = lcnn_to_json(L, table, f->name);
    bool none = cJSON_IsArray(config); /* the empty table */
    lcnn_check(L, cnn_object_new(box, &f->op->class, none ? NULL : config));
    lua_settop(L, table - 1);
    return *box;
}

static int call_function(lua_State *L) {
    const nn_function *f = lua_touserdata(L, lua_upvalueindex(1));
    int inputs[2] = {2, 3};
    lua_pushnil(L); /* 1: nothing, so that arguments begin at 2 */
    lua_insert(L, 1);
    lcnn_args_mixed(L, 2, f->name, f->arguments);
    for (int i = 0; i < f->tensors; i++) {
        const char *name = f->arguments[i] + (f->arguments[i][0] == '*');
        if (lua_isnil(L, inputs[i])) lcnn_fail(L, "%s: '%s' is missing", f->name, name);
        lcnn_to_tensor(L, inputs[i]);
    }
    const void *attributes = f->attributes[0] ? push_attributes(L, f) : NULL;
    return apply(L, f->op, attributes, inputs, f->tensors, f->training);
}

/* ---- crossentropies of logits ---------------------------------------------------------------------------- */

/* Labels at 1, logits at 2. The op wants [M, classes] (sigmoid: [M, 1]) and gives [M]; the result is shaped as
 * TensorFlow's: as the logits, without their last axis unless kept. */
static int crossentropy(lua_State *L) {
    const cnn_op *op = lua_touserdata(L, lua_upvalueindex(1));
    const char *who = lua_tostring(L, lua_upvalueindex(2));
    lcnn_args_mixed(L, 1, who, (const char *const[]){"labels", "logits", NULL});
    if (lua_isnil(L, 1) || lua_isnil(L, 2)) lcnn_fail(L, "%s: 'labels' and 'logits' must be given", who);
    const cnn_tensor *labels = lcnn_to_tensor(L, 1), *logits = lcnn_to_tensor(L, 2);
    bool sigmoid = op == &cnn_op_binary_crossentropy, sparse = op == &cnn_op_sparse_categorical_crossentropy;
    int rank = logits->rank - !sigmoid;
    if (rank < 0) lcnn_fail(L, "%s: the logits must have an axis of classes", who);
    if (labels->rank != (sparse ? rank : logits->rank))
        lcnn_fail(L, "%s: labels of rank %d do not fit logits of rank %d", who, labels->rank, logits->rank);
    int64_t shape[CNN_MAX_RANK], classes = sigmoid ? 1 : logits->shape[rank];
    memcpy(shape, logits->shape, (size_t)rank * sizeof *shape);
    if (rank != 1 || sigmoid) {
        const int64_t rows[] = {-1, classes};
        lcnn_apply_reshape(L, 1, sparse ? 1 : 2, rows);
        lua_replace(L, 1);
        lcnn_apply_reshape(L, 2, 2, rows);
        lua_replace(L, 2);
    }
    cnn_loss attributes = {.class = &op->class, .from_logits = true, .axis = -1};
    lcnn_apply_2(L, op, &attributes, 2, 1);
    return rank == 1 ? 1 : lcnn_apply_reshape(L, lua_gettop(L), rank, shape);
}

/*** Crossentropy between labels given as probabilities and what softmax makes of logits: -Σ labels·log
softmax(logits). The mean over samples, which training takes, is cnn.mean of it.
@function cnn.nn.softmax_cross_entropy_with_logits
@tparam tensor labels probabilities (one-hot rows, see cnn.one_hot), in the shape of logits
@tparam tensor logits the classes are on the last axis
@treturn tensor float32, a number for each sample: the shape of logits without the last axis
@usage
cnn.nn.softmax_cross_entropy_with_logits({{0, 1, 0, 0}}, {{0, 0, 0, 0}})     -- log 4
--> float32 (1,)
--> [1.38629...
*/

/*** Crossentropy between labels given as classes and what softmax makes of logits: -log softmax(logits) at the
label's place.
@function cnn.nn.sparse_softmax_cross_entropy_with_logits
@tparam tensor labels classes, counted from 0: in the shape of logits without the last axis
@tparam tensor logits the classes are on the last axis
@treturn tensor float32, a number for each sample
@raise a label that is no class
@usage
cnn.nn.sparse_softmax_cross_entropy_with_logits({1, 0}, {{0, 0}, {100, 0}})
--> float32 (2,)
--> [0.69314...
*/

/*** Crossentropy between labels and what sigmoid makes of logits, element by element. With p = sigmoid(logits) it is
-labels·log p - (1 - labels)·log(1 - p).
@function cnn.nn.sigmoid_cross_entropy_with_logits
@tparam tensor labels probabilities from 0 to 1, in the shape of logits
@tparam tensor logits
@treturn tensor float32, in that shape
@usage
cnn.nn.sigmoid_cross_entropy_with_logits({1, 0}, {0, -100}):round():tolist()             --> {1.0, 0.0}
*/

static void add_crossentropy(lua_State *L, const char *name, const cnn_op *op) {
    lua_pushlightuserdata(L, (void *)op);
    lua_pushstring(L, name);
    lua_pushcclosure(L, crossentropy, 2);
    lua_setfield(L, -2, name);
}

/* ---- registration ---------------------------------------------------------------------------------------- */

int lcnn_open_nn(lua_State *L) {
    luaL_newmetatable(L, OBJECT);
    lua_pushcfunction(L, free_object);
    lua_setfield(L, -2, "__gc");
    luaL_getsubtable(L, 1, "nn");
    for (const nn_function *f = functions; f->name; f++) {
        lua_pushlightuserdata(L, (void *)f);
        lua_pushcclosure(L, call_function, 1);
        lua_setfield(L, -2, f->name);
    }
    add_crossentropy(L, "softmax_cross_entropy_with_logits", &cnn_op_categorical_crossentropy);
    add_crossentropy(L, "sparse_softmax_cross_entropy_with_logits", &cnn_op_sparse_categorical_crossentropy);
    add_crossentropy(L, "sigmoid_cross_entropy_with_logits", &cnn_op_binary_crossentropy);
    lua_pushcfunction(L, spread_args);
    lua_setfield(L, -2, "args"); /* prelude/nn.lua takes it away */
    lua_getfield(L, -1, "stop_gradient");
    lua_setfield(L, 1, "stop_gradient");
    return 0;
}
