/* Layers written in Lua, for the file that shows layers to scripts. Each function returns false, having done nothing, if
 * the layer is not such a one. */
#ifndef LUA_CUSTOM_H
#define LUA_CUSTOM_H

#include "lua_cnn.h"

bool lcnn_is_custom(const cnn_layer *layer);
/* Pushes the field or method of the layer at 1 whose name is at 2. */
bool lcnn_custom_index(lua_State *L, cnn_layer *layer);
/* Sets it to the value at 3. */
bool lcnn_custom_newindex(lua_State *L, cnn_layer *layer);
/* Pushes the table of arguments that makes an equal layer. */
bool lcnn_custom_config(lua_State *L, cnn_layer *layer);

#endif
