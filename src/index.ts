/** What a plugin imports: `import { defineTransformer, z } from 'ouzel'`. See docs/guides/plugins.md. */
export { z } from 'zod';
export { defineFilter, defineTarget, defineTransformer } from './plugins/define.ts';
export type {
  FilterHandler,
  FilterPlugin,
  PluginCall,
  PluginContext,
  PluginDelivery,
  PluginLog,
  TargetHandler,
  TargetPlugin,
  TransformerHandler,
  TransformerPlugin,
} from './plugins/define.ts';
export { RejectedError, UnavailableError } from './plugins/errors.ts';
export type { EditableEvent, PluginEvent, PluginMessage } from './plugins/event.ts';
