// For hosts, which start it from anywhere: `node --import tsx` would look for tsx in their folder.
import { register } from 'tsx/esm/api';

register();
await import('./mcp-stdio.ts');
